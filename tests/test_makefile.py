"""The Makefile: alone it prints every target with what it does."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_make_alone_lists_every_target_in_aligned_columns():
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    rows = [re.fullmatch(r"(make ([\w-]+) +)(\S.*)", line) for line in done.stdout.splitlines()]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert [row[2] for row in rows] == targets
    assert len({len(row[1]) for row in rows}) == 1


@pytest.mark.parametrize(("target", "extras"), [("demo", ["."]), ("test", [".", ".[dev]"])])
def test_the_demo_is_set_up_without_tools_of_development(tmp_path, target, extras):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", target]
    done = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=True
    )
    assert re.findall(r"pip install -qq .* --editable '(\S+)'", done.stdout) == extras
    assert re.findall(r"--constraint (\S+)", done.stdout) == ["constraints.txt"] * 2 * len(extras)
