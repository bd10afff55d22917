"""A workspace stays small: by the end of each run, and by the flow `gc`."""

import pytest

from flows import backfill_in_blocks as conductor
from flows.backfill import backfill
from flows.backfill_in_blocks import backfill_in_blocks
from flows.clean_workspace import clean_workspace
from tasks.io.workspace import Workspace
from tasks.pipeline import is_finished

pytestmark = pytest.mark.usefixtures("server")


def operators(project):
    return {path.stem for path in (project.workspace / "operators/tiny").iterdir()}


def night(project, draw, number):
    """Another natural image, to which another operator is fitted."""
    draw(project.folder / f"natural/{number}.png", number)


@pytest.fixture
def quiet(monkeypatch):
    """A conductor that has workers do nothing, as all is done."""
    monkeypatch.setattr(conductor, "cancel_late_runs", list)
    monkeypatch.setattr(conductor, "runs_under_way", lambda config: [])


def test_at_the_end_of_a_run_former_results_go_as_far_as_it_is_wanted(complete, draw, quiet):
    (former,) = operators(complete)
    night(complete, draw, 10)
    backfill(complete.configure())
    silent = complete.configure()
    backfill_in_blocks(silent, keep=None)
    backfill_in_blocks(silent.model_copy(update={"keep": 1}), keep=0)
    assert len(operators(complete)) == 2
    backfill_in_blocks(silent, keep=0)
    assert former not in operators(complete)
    assert len(operators(complete)) == 1
    complete.vouch()
    assert is_finished(silent)


def test_the_whole_job_in_one_run_leaves_what_keep_holds(complete, draw):
    night(complete, draw, 10)
    backfill(complete.configure(keep=0))
    assert len(operators(complete)) == 1
    complete.vouch()


def test_a_run_with_nothing_left_to_do_lets_former_results_go_too(complete, draw, dotpipe):
    night(complete, draw, 10)
    assert dotpipe("run", complete.file)[0] == 0
    assert len(operators(complete)) == 2
    complete.configure(keep=0)
    code, out, _ = dotpipe("run", complete.file)
    assert code == 0
    assert "removed the results of 1 former operator(s), " in out
    assert "nothing to do: every shard of every step is done" in out
    assert len(operators(complete)) == 1
    assert "removed" not in dotpipe("run", complete.file)[1]


def test_gc_removes_what_is_not_needed_tells_how_much_and_leaves_a_table(complete, artifacts):
    config = complete.configure()
    stray = complete.workspace / "enhanced/gone/a.tar"
    stray.parent.mkdir()
    stray.write_bytes(b"12")
    with Workspace(config.workspace).claims.held("runs/other-1"):
        state = clean_workspace(config, return_state=True)
        assert (state.name, stray.exists()) == ("Skipped", True)
        assert "runs/other-1 is claimed" in state.message
    state = clean_workspace(config, return_state=True)
    assert (state.name, state.message) == ("Completed", "removed 1 file, 2 B")
    assert not stray.parent.exists()
    assert '"folder": "enhanced/gone"' in artifacts()[0]["data"]
    assert clean_workspace(config, return_state=True).message == "nothing to remove"
    complete.vouch()
    assert is_finished(config)


def test_gc_with_an_older_configuration_keeps_what_the_one_that_ran_last_needs(complete):
    deployed, last = complete.configure(), complete.configure(enhance={"alphas": [0, 0.75]})
    backfill(last)
    clean_workspace(deployed, return_state=True)
    assert is_finished(last)
    alphas = {path.name for path in complete.workspace.glob("enhanced/tiny/*/*")}
    assert alphas == {"alpha=+0.00", "alpha=+0.50", "alpha=+0.75"}
