"""The Makefile: alone it prints every target with what it does."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_make_alone_lists_every_target_in_aligned_columns():
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    rows = [re.fullmatch(r"(make (\w+) +)(\S.*)", line) for line in done.stdout.splitlines()]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert [row[2] for row in rows] == targets
    assert len({len(row[1]) for row in rows}) == 1
