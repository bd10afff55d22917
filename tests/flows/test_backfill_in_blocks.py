"""The conductor: which runs it asks for, in which order, under which keys, and what it refuses."""

import json
import re
import threading
import time
from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed

from flows import backfill_in_blocks as conductor
from flows.backfill_in_blocks import CONDUCTORS, _blocks, backfill_in_blocks
from flows.enhance_block import enhance_block
from flows.evaluate_dataset import evaluate_dataset, report_dataset
from flows.fit_transport import fit_transport
from flows.restore_dataset import restore_dataset
from flows.runs.pool import FailedRequest
from flows.shard_corpus import shard_corpus
from flows.train_restorer import train_restorer
from tasks.config import Run
from tasks.fit.operators import fitted
from tasks.io.errors import ShardsFailed
from tasks.io.ledger import Record, owner
from tasks.io.ledger import claims as claims_module
from tasks.io.workspace import Workspace
from tasks.pipeline import is_finished

FLOWS = {
    flow.name: flow
    for flow in (
        shard_corpus,
        train_restorer,
        restore_dataset,
        fit_transport,
        enhance_block,
        evaluate_dataset,
        report_dataset,
    )
}
IN_BLOCKS = {"blocks": {"shards": 2, "at_once": 3}}
"""Three shards in two blocks."""


class InProcess:
    """Stands in for a pool: runs requests at once, with what a worker would read of them."""

    def __init__(self):
        self.sent, self.at_once, self.queue = [], {}, None
        self.do = lambda request: FLOWS[request.flow](**json.loads(json.dumps(request.parameters)))

    def __call__(self, _config, queue):
        self.queue = queue
        return self

    def watch(self, runs):
        assert runs == []

    def run(self, requests, *, at_once=1, ended=lambda _: None, waited=lambda _: None):
        lost = []
        for request in requests:
            self.sent.append(request)
            self.at_once[request.flow] = at_once
            if isinstance(failed := self.do(request), FailedRequest):
                lost.append(failed)
            else:
                ended(request)
            waited(0.0)
        return lost

    @property
    def flows(self):
        return [request.flow for request in self.sent]


@pytest.fixture
def pool(monkeypatch, server):
    stand_in = InProcess()
    monkeypatch.setattr(conductor, "WorkPoolRuns", stand_in)
    monkeypatch.setattr(claims_module, "_POLL_S", 0.02)
    return stand_in


@pytest.fixture
def done(complete, pool):
    """The configuration in blocks, of which nothing is missing; its report tells of blocks."""
    config = complete.configure(**IN_BLOCKS)
    report_dataset(config)
    return config


def forget(project, pattern):
    """Remove the records of artifacts whose names have this in them; returns them."""
    found = [record for record in project.records() if re.search(pattern, record.artifact)]
    for record in found:
        (project.workspace / record.path).unlink()
    return found


def blocks_of(config):
    workspace = Workspace(config.workspace)
    passed = []
    watch = SimpleNamespace(pass_by=passed.append)
    return list(_blocks(fitted(Run(config, workspace)), watch)), passed


def test_the_whole_job_is_done_stage_by_stage_and_block_by_block(project, pool, undisturbed):
    config = project.configure(**IN_BLOCKS)
    state = backfill_in_blocks(config, queue="nightly", return_state=True)
    assert pool.flows == [
        "shard-corpus",
        "restore-dataset",
        "fit-transport",
        "enhance-block",
        "enhance-block",
        "evaluate-dataset",
        "report",
    ]
    assert [request.parameters["shards"] for request in pool.sent[3:5]] == [
        ["shard-000000", "shard-000001"],
        ["shard-000002"],
    ]
    assert pool.queue == "nightly"
    assert pool.at_once == dict.fromkeys(pool.flows, 1) | {"enhance-block": 3}
    assert project.lasting() == undisturbed
    assert state.message.startswith("report: ")
    assert state.message.endswith("/report.html")


def test_when_nothing_is_missing_nothing_is_run(done, pool):
    state = backfill_in_blocks(done, return_state=True)
    assert pool.sent == []
    assert (state.name, state.message) == (
        "Completed",
        "nothing to do: every shard of every step is done",
    )


def test_stages_that_have_nothing_to_do_are_not_run(complete, done, pool, undisturbed):
    forget(complete, "fidelity")
    backfill_in_blocks(done)
    assert pool.flows == ["evaluate-dataset"]
    pool.sent.clear()
    forget(complete, "/report$")
    backfill_in_blocks(done)
    assert pool.flows == ["report"]
    assert complete.lasting() == undisturbed


def test_only_blocks_that_miss_something_are_run(complete, done, pool, undisturbed):
    (_,) = forget(complete, r"^metrics/.*alpha\+0.50/shard-000002")
    backfill_in_blocks(done)
    assert pool.flows == ["enhance-block"]
    assert pool.sent[0].parameters["shards"] == ["shard-000002"]
    assert complete.lasting() == undisturbed


def test_a_block_is_the_same_whatever_of_it_is_done(complete):
    config = complete.configure(**IN_BLOCKS)
    assert blocks_of(config) == ([], [6, 2])
    enhanced = forget(complete, "^enhanced/")
    missing, passed = blocks_of(config)
    assert [request.parameters["shards"] for request in missing] == [
        ["shard-000000", "shard-000001"],
        ["shard-000002"],
    ]
    assert ([request.images for request in missing], passed) == ([6, 2], [0, 0])
    restore(complete, [record for record in enhanced if "shard-000000" in record.artifact])
    partly, passed = blocks_of(config)
    assert [request.key for request in partly] == [request.key for request in missing]
    assert [request.parameters for request in partly] == [request.parameters for request in missing]
    assert ([request.images for request in partly], passed) == ([3, 2], [3, 0])


@pytest.mark.parametrize(
    ("least", "shards", "images"),
    [(1, [[0, 1], [2]], [3, 2]), (2, [[1, 2]], [5]), (3, [[1, 2]], [5])],
)
def test_blocks_that_miss_little_are_done_together(complete, least, shards, images):
    config = complete.configure(blocks={"shards": 2, "min_shards": least})
    forget(complete, "^enhanced/.*shard-00000[12]")
    requests, passed = blocks_of(config)
    names = [[f"shard-{number:06d}" for number in block] for block in shards]
    assert [request.parameters["shards"] for request in requests] == names
    assert ([request.images for request in requests], passed) == (images, [3, 0])


def test_a_block_that_misses_enough_is_done_alone(complete):
    config = complete.configure(blocks={"shards": 2, "min_shards": 2})
    forget(complete, "^enhanced/")
    first, last = (request.parameters["shards"] for request in blocks_of(config)[0])
    assert first == ["shard-000000", "shard-000001"]
    assert last == ["shard-000002"]  # no other is left that it could be done with


def test_all_is_done_in_few_runs_where_little_is_missing(complete, done, pool, undisturbed):
    forget(complete, "^(enhanced|metrics|features)/.*shard-00000[12]")
    backfill_in_blocks(complete.configure(blocks={"shards": 1, "min_shards": 2}))
    assert pool.flows == ["enhance-block"]
    assert complete.lasting() == undisturbed


def restore(project, records: list[Record]):
    """Put records back; what they say of files is not asked for here."""
    for record in records:
        (project.workspace / record.path).write_text('{"files": {}}')


def test_a_blocks_key_changes_with_what_is_wanted_of_it_and_not_with_where_it_runs(
    complete,
):
    def keys(**sections):
        config = complete.configure(**IN_BLOCKS, **sections)
        return [request.key for request in blocks_of(config)[0]]

    wanted = keys(enhance={"alphas": [0, 0.25]})
    assert len(set(wanted)) == 2
    assert keys(enhance={"alphas": [0, 0.75]}) != wanted
    assert keys(enhance={"alphas": [0, 0.25]}, compute={"batch": 1}) == wanted


def test_a_blocks_key_changes_with_an_image_of_it_and_no_other_does(complete, draw):
    config = complete.configure(**IN_BLOCKS, enhance={"alphas": [0, 0.25]})
    before = [request.key for request in blocks_of(config)[0]]
    draw(complete.folder / "reference" / "b" / "7.png", 99, 21, 17)
    shard_corpus(config)
    restore_dataset(config)
    fit_transport(config)
    after = [request.key for request in blocks_of(config)[0]]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False]


def test_runs_are_tagged_with_data_set_operator_and_alphas(complete):
    config = complete.configure(**IN_BLOCKS, enhance={"alphas": [-0.5, 0.25]})
    operator = fitted(Run(config, Workspace(config.workspace))).operator.name
    request, _ = blocks_of(config)[0]
    assert request.tags == (
        "data-set:tiny",
        f"operator:{operator}",
        "alpha:-0.50",
        "alpha:+0.25",
    )


def test_a_second_run_beside_a_living_one_is_skipped(complete, pool):
    config = complete.configure(enhance={"alphas": [0.25]})
    with Workspace(config.workspace).claims.held(f"{CONDUCTORS}/tiny"):
        state = backfill_in_blocks(config, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped")
    assert state.message == "another run of this backfill is at work"
    assert pool.sent == []


def test_the_run_of_another_configuration_is_no_reason_to_skip(complete, pool):
    config = complete.configure()
    with Workspace(config.workspace).claims.held(f"{CONDUCTORS}/other"):
        state = backfill_in_blocks(config, return_state=True)
    assert state.name == "Completed"


def test_a_run_takes_over_from_one_that_died(complete, pool, monkeypatch):
    config = complete.configure()
    claims = Workspace(config.workspace).claims
    dead = json.dumps({"place": "elsewhere", "process": 1, "owner": "x", "beat": 1})
    claims.store.write(f"claims/{CONDUCTORS}/tiny.json", dead.encode())
    monkeypatch.setattr(owner, "EXPIRY_S", 0.3)
    started = time.monotonic()
    state = backfill_in_blocks(config, return_state=True)
    assert state.name == "Completed"
    assert time.monotonic() - started > 0.3
    assert claims.names() == []


def test_of_two_that_wait_for_a_dead_one_one_takes_over(complete, pool, monkeypatch):
    config = complete.configure()
    claims = Workspace(config.workspace).claims
    dead = json.dumps({"place": "elsewhere", "process": 1, "owner": "x", "beat": 1})
    claims.store.write(f"claims/{CONDUCTORS}/tiny.json", dead.encode())
    monkeypatch.setattr(owner, "EXPIRY_S", 0.3)
    at_work, both_looked = [], threading.Event()

    def conduct(config, pool):
        at_work.append(1)
        both_looked.wait(30)
        return Crashed(message="of no interest")

    monkeypatch.setattr(conductor, "_conduct", conduct)
    monkeypatch.setattr(conductor, "cancel_late_runs", lambda: None)
    monkeypatch.setattr(conductor, "runs_under_way", lambda config: [])
    said = []

    def run():
        said.append(backfill_in_blocks.fn(config).name)
        both_looked.set()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(said), at_work) == (["Crashed", "Skipped"], [1])


def test_a_block_that_stays_incomplete_though_its_runs_end_well_is_an_error(complete, pool):
    pool.do = lambda request: None
    with pytest.raises(ShardsFailed) as raised:
        backfill_in_blocks(complete.configure(**IN_BLOCKS, enhance={"alphas": [0.25]}))
    assert pool.flows == ["enhance-block"] * 4
    assert str(raised.value) == (
        "2 blocks of shards must be whole after their runs have ended well, but miss something; "
        "see `dotpipe status CONFIG`, and whether all workers see the same workspace"
    )


def test_a_block_that_was_half_done_by_a_run_that_was_adopted_is_run_again(complete, pool):
    config = complete.configure(**IN_BLOCKS, enhance={"alphas": [0.25]})
    do, adopted = pool.do, []

    def sometimes(request):
        if request.flow == "enhance-block" and not adopted:
            adopted.append(request)
        else:
            do(request)

    pool.do = sometimes
    backfill_in_blocks(config)
    assert is_finished(config)
    assert pool.flows.count("enhance-block") == 3
    assert pool.sent.count(adopted[0]) == 2


@pytest.mark.parametrize("flow", ["fit-transport", "enhance-block"])
def test_runs_that_are_given_up_stop_it_with_their_reason(project, pool, flow):
    do, crashed = pool.do, Crashed(message="the GPU fell off the bus")

    def fail(request):
        if request.flow != flow:
            return do(request)
        return FailedRequest(request, FlowRun.model_construct(name="ant", state=crashed))

    pool.do = fail
    with pytest.raises(ShardsFailed) as raised:
        backfill_in_blocks(project.configure(**IN_BLOCKS))
    count = 2 if flow == "enhance-block" else 1
    assert str(raised.value) == (
        f"all runs on the pool must end well, got {count} given up; the first: {flow} 'ant' ended "
        "Crashed: the GPU fell off the bus. The others are done, and running again takes up just "
        "these"
    )
    assert pool.flows[-1] == flow


def test_its_progress_is_an_artifact_of_its_run(complete, done, pool, artifacts):
    forget(complete, "^enhanced/")
    state = backfill_in_blocks(done, return_state=True)
    mine = [
        artifact
        for artifact in artifacts()
        if artifact["flow_run_id"] == str(state.state_details.flow_run_id)
        and artifact["type"] == "progress"
    ]
    assert {artifact["data"] for artifact in mine} == {100.0}
    assert any("8 of 8 images, 2 blocks in" in artifact["description"] for artifact in mine)
