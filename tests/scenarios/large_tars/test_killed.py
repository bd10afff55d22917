"""Runs over a large tar that are killed, or two at once: they leave what a quiet one leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tars.large_tars import members_of

from tasks.io.errors import StepMissing

SCRIPT = Path(__file__).parents[2] / "support" / "workspaces" / "runs_and_kills.py"
PLACES = {
    "in the scan": ("tasks.io.shards.cuts.scan:_Scanning.note", 9),
    "before the table of its parts": ("tasks.shard.tars.scan:write_parts", 1),
    "between that and its record": ("tasks.io.store.store:Store.write", 2),
    "in a part, as it is read": ("tasks.shard.tars.waiting:WaitingImages.add", 5),
    "in a part, as it is written": ("tasks.io.shards.writer:TarWriter.add", 8),
}
QUICK = ("in the scan", "between that and its record", "in a part, as it is read")


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Does runs of a configuration in processes at once; their exit codes."""
    errors, support = tmp_path_factory.mktemp("errors") / "errors.txt", str(SCRIPT.parents[1])
    paths = os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    variables = {**os.environ, "PYTHONPATH": paths}
    with (
        errors.open("w", encoding="utf-8") as written,
        subprocess.Popen(
            [sys.executable, SCRIPT], **pipes, stderr=written, env=variables
        ) as script,
    ):

        def do(file, *places):
            script.stdin.write(json.dumps([str(file), places]) + "\n")
            script.stdin.flush()
            line = script.stdout.readline()
            assert line, errors.read_text("utf-8")
            codes = json.loads(line)
            assert set(codes) <= {0, -signal.SIGKILL}, errors.read_text("utf-8")
            return codes

        yield do
        script.stdin.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory, tars_in):
    """A run over a tar of five parts, some captions of which lie far from their images."""
    made = tars_in(tmp_path_factory.mktemp("killed"))
    members = members_of(range(14))
    far = [members.pop(place) for place in (19, 9, 1)]
    made.write("b", [*members, *far])
    return made


@pytest.fixture(scope="module")
def file(made):
    path = made.folder / "run.yaml"
    path.write_text(yaml.safe_dump(made.steps.config.model_dump(mode="json", exclude_unset=True)))
    return path


@pytest.fixture(scope="module")
def left_by_one(made, file, processes):
    """What one run leaves."""
    assert processes(file, None) == [0]
    return made.files(), made.made()


@pytest.fixture
def quiet(made, left_by_one):
    """The same; the workspace is empty again."""
    shutil.rmtree(made.workspace.store.local())
    return left_by_one


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, place in PLACES.items()
    ],
)
def test_a_run_that_is_killed_and_begun_again_leaves_the_same(made, file, quiet, processes, place):
    assert processes(file, place) == [-signal.SIGKILL]
    with pytest.raises(StepMissing):
        made.missing()
    assert made.damage() == []
    assert processes(file, None) == [0]
    assert (made.files(), made.made()) == quiet


def test_two_runs_at_once_leave_the_same_also_where_one_is_killed(made, file, quiet, processes):
    assert processes(file, None, None) == [0, 0]
    assert (made.files(), made.made()) == quiet
    for place in (PLACES["in the scan"], PLACES["in a part, as it is read"]):
        shutil.rmtree(made.workspace.store.local())
        assert processes(file, place, None)[1] == 0
        assert (made.files(), made.made()) == quiet
