"""Killed at any moment, a compaction is ended by the next, or a run goes on without it."""

import re
import shutil
import subprocess
import sys

import pytest
from workspaces.brief_report import write_brief_report

from tasks.compact import remaining
from tasks.compact.remaining import finish
from tasks.config import Run
from tasks.fit.operators import find_operator
from tasks.report.report import ReportJob
from tasks.upkeep.cleaning.waste import find_waste, remove_waste
from tasks.upkeep.verify import verify

NURSERY = """
import itertools, os, signal, sys
from pathlib import Path

from tasks.compact import remaining
from tasks.compact.compact import compact
from tasks.config import Config
from tasks.io.store import Store

sys.path.insert(0, "tests/support")
from workspaces.brief_report import write_brief_report

os.fsync = lambda descriptor: None
remaining._WORKS[remaining.ReportJob] = write_brief_report


def deadly(name, calls, last):
    real = getattr(Store, name)

    def counted(*args):
        if next(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(Store, name, counted)


def run(config, last):
    calls = itertools.count(1)
    for name in ("put", "remove"):
        deadly(name, calls, last)
    compact(Config.model_validate_json(Path(config).read_text()))
    print(next(calls) - 1, flush=True)


for line in sys.stdin:
    config, last = line.rstrip().split("|")
    if (child := os.fork()) == 0:
        run(config, int(last))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print("killed", flush=True)
"""
"""Imports once, then merges in a child for every line, which is killed before it publishes or
removes something for the so-manieth time."""


@pytest.fixture(scope="module", params=["tars", "files"])
def small(tmp_path_factory, grow, repository, request):
    """As little as can be merged, finished; and a way to merge it in a process that is killed."""
    folder, enhance = tmp_path_factory.mktemp("small"), {"alphas": [0], "outputs": request.param}
    grown = grow(folder, ("da", "fb"), enhance=enhance)
    shutil.copytree(grown.folder / "workspace", grown.folder / "kept")
    file = grown.folder / "config.json"
    file.write_text(grown.config.model_dump_json(), "utf-8")
    command = [sys.executable, "-c", NURSERY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, cwd=repository, text=True, **pipes) as process,
    ):
        patch.setitem(remaining._WORKS, ReportJob, write_brief_report)

        def merge(last):
            shutil.rmtree(grown.folder / "workspace")
            shutil.copytree(grown.folder / "kept", grown.folder / "workspace")
            process.stdin.write(f"{file}|{last}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        grown.merge = merge
        yield grown
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(small):
    """How often a whole compaction publishes or removes, and what it leaves: an operator too."""
    calls = int(small.merge(0))
    assert small.missing() == []
    return calls, small.records(), small.numbers(), find_operator(Run.of(small.config)).name


def require_it_ends_well(small, undisturbed, moment):
    """Kill one, and have the next compaction end it; then kill it again, and have a run do that."""
    _, records, numbers, operator = undisturbed
    assert small.merge(moment) == "killed"
    small.compact()
    assert small.missing() == []
    assert small.records() == records
    assert small.numbers() == numbers
    assert not [each for each in verify(small.workspace.ledger) if each.damage]
    assert "compacting.json" not in list(small.workspace.store.names(""))
    assert stray_files(small.workspace) == []

    assert small.merge(moment) == "killed"
    finish(small.config, {})  # raises where an image would have to be seen again
    assert small.missing() == []
    assert find_operator(Run.of(small.config)).name == operator
    assert [place.key for place in small.workspace.keys("run")] == list("abdf")
    assert not [each for each in verify(small.workspace.ledger) if each.damage]
    small.compact()
    assert small.missing() == []
    ((name, images),) = small.workspace.shards("run").items()
    assert images == 4
    assert name in ("shard-000002", "shard-000003")  # a name that the run let go stays taken
    remove_waste(find_waste([small.config], small.workspace), [small.config], small.workspace)
    assert stray_files(small.workspace) == []


def stray_files(workspace):
    """Files of shards that their data set does not have, whether with a record or none."""
    stray = []
    for path in workspace.store.names(""):
        folders, shard = path.split("/"), re.search(r"shard-\d{6}", path)
        dataset = "run" if "run" in folders else "reference"
        if shard is not None and shard[0] not in workspace.shards(dataset):
            stray.append(path)
    return stray


@pytest.mark.parametrize("share", [0.245, 0.4, 0.6, 0.76, 0.9])
def test_killed_at_some_moment(small, undisturbed, share):
    require_it_ends_well(small, undisturbed, 1 + int(share * undisturbed[0]))


@pytest.mark.slow
def test_killed_before_every_publication_and_removal(small, undisturbed):
    for moment in range(1, undisturbed[0] + 1):
        require_it_ends_well(small, undisturbed, moment)
