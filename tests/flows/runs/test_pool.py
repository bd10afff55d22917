"""Requested runs of a work pool: in a window, tried again, and taken from dead workers."""

import threading
import time
import uuid
from contextlib import ExitStack
from contextvars import copy_context

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
from prefect.logging import disable_run_logger
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running
from servers.pool_stand_in import StandIn, give, read, register, runs_of

from flows.runs import liveness, prefect_api
from flows.runs import pool as pool_module
from flows.runs.healing import healing_noted
from flows.runs.pool import RunRequest, WorkPoolRuns
from flows.runs.prefect_api import patiently
from flows.runs.presence import presence
from tasks.io.errors import ConfigurationError, StoreRefused, WeightsMissing
from tasks.io.ledger import Claims, owner
from tasks.io.workspace import Workspace


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Looks every moment."""
    monkeypatch.setattr(pool_module, "POLL_S", 0.02)
    monkeypatch.setattr(prefect_api, "_PAUSE_S", 0.02)
    with disable_run_logger():
        yield


@pytest.fixture
def impatient(monkeypatch):
    """Takes a run for dead that has held no claim for a moment, where it is half a minute."""
    monkeypatch.setattr(liveness, "_SILENCE_S", 0.3)


@pytest.fixture
def config(project, server):
    return project.configure()


@pytest.fixture
def name(config):
    """A flow that is deployed, and that no other test knows of."""
    name = f"knock-{uuid.uuid4().hex[:8]}"
    register(name, name=config.name)
    return name


@pytest.fixture
def pool(config):
    return WorkPoolRuns(config, "backfill")


def well(run):
    give(run, Running(), Completed())


def states_of(name):
    return [run.state_name for run in runs_of(name)]


def test_requests_are_run_with_their_parameters_tags_and_queue(name, pool):
    request = RunRequest(name, "key", {"door": [1, "two"]}, ("alpha:+0.00",), images=5)
    ended = []
    with StandIn(name, do=well):
        assert pool.run([request], ended=ended.append) == []
    (run,) = runs_of(name)
    assert (run.parameters, run.tags) == ({"door": [1, "two"]}, ["alpha:+0.00"])
    assert (run.work_queue_name, run.idempotency_key) == ("backfill", "key-1")
    assert ended == [request]


def test_without_requests_nothing_is_asked_of_the_server(pool, monkeypatch):
    monkeypatch.setattr(pool_module, "client", lambda: pytest.fail("asked"))
    assert pool.run([]) == []


def test_no_more_requests_are_taken_than_there_is_room_for(name, pool):
    asked, under_way = [], []

    def requests():
        for number in range(5):
            asked.append(number)
            yield RunRequest(name, f"{number}", {})

    def do(run):
        under_way.append(len(asked) - len(under_way))
        well(run)

    with StandIn(name, do=do) as workers:
        pool.run(requests(), at_once=2)
    assert max(under_way) == 2
    assert [run.idempotency_key for run in workers.taken] == [f"{n}-1" for n in range(5)]


@pytest.mark.parametrize("state", [Failed, Crashed])
def test_a_run_that_does_not_end_well_is_submitted_again_under_the_next_key(name, pool, state):
    ends = iter([state(message="bad luck"), Completed()])
    with StandIn(name, do=lambda run: give(run, Running(), next(ends))) as workers:
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert [run.idempotency_key for run in workers.taken] == ["key-1", "key-2"]


def test_after_all_attempts_a_request_is_given_up_with_the_reason_and_others_go_on(
    name, project, server
):
    pool = WorkPoolRuns(project.configure(blocks={"attempts": 2}), "backfill")

    def do(run):
        bad = run.idempotency_key.startswith("bad")
        give(run, Running(), Failed(message="no room") if bad else Completed())

    ended, requests = [], [RunRequest(name, key, {}) for key in ("bad", "good")]
    with StandIn(name, do=do) as workers:
        (failed,) = pool.run(requests, ended=ended.append)
    assert ended == requests[1:]
    assert failed.request == requests[0]
    assert [run.idempotency_key for run in workers.taken] == ["bad-1", "bad-2", "good-1"]
    assert failed.reason == f"{name} {workers.taken[1].name!r} ended Failed: no room"


def test_a_failure_that_cannot_heal_is_met_once(name, pool):
    def do(run):
        give(run, Running())
        with pytest.raises(WeightsMissing), healing_noted(run.id):
            raise WeightsMissing("not there")
        give(run, Failed(message="WeightsMissing: not there"))

    with StandIn(name, do=do) as workers:
        (failed,) = pool.run([RunRequest(name, "key", {})])
    assert failed.reason.endswith("ended Failed: WeightsMissing: not there")
    assert len(workers.taken) == 1


def test_parameters_that_a_worker_does_not_take_are_sent_once(name, pool):
    """As Prefect has it, such a run fails before it begins."""
    refused = Failed(message="Validation of flow parameters failed with error: …")
    with StandIn(name, do=lambda run: give(run, refused)) as workers:
        assert len(pool.run([RunRequest(name, "key", {})])) == 1
    assert len(workers.taken) == 1


def test_a_run_that_a_person_cancels_is_not_submitted_again(name, pool):
    with StandIn(name, do=lambda run: give(run, Running(), Cancelled(message="enough"))):
        (failed,) = pool.run([RunRequest(name, "key", {})])
    assert failed.reason.endswith("ended Cancelled: enough")
    assert states_of(name) == ["Cancelled"]


def test_a_run_that_somebody_deletes_is_submitted_again(name, pool):
    def do(run):
        if run.idempotency_key == "key-1" and len(workers.taken) == 1:
            with get_client(sync_client=True) as client:
                client.delete_flow_run(run.id)
        else:
            well(run)

    with StandIn(name, do=do) as workers:
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert len(workers.taken) == 2
    assert states_of(name) == ["Completed"]


def test_a_run_under_way_is_adopted_and_one_that_has_ended_counts_for_nothing(name, config):
    request = RunRequest(name, "key", {})
    with StandIn(name, do=well):
        assert WorkPoolRuns(config, "backfill").run([request]) == []
    abandoned = WorkPoolRuns(config, "backfill")
    abandoned._send(request, 1)
    with StandIn(name, do=well) as workers:
        assert WorkPoolRuns(config, "backfill").run([request]) == []
    assert [run.idempotency_key for run in workers.taken] == ["key-2"]
    assert states_of(name) == ["Completed", "Completed"]


def test_a_run_is_found_after_an_answer_that_got_lost(name, pool, monkeypatch):
    submit, calls = pool_module.run_deployment, []

    def lossy(*args, **options):
        calls.append(args)
        submit(*args, **options)
        raise httpx.ReadError("lost")

    monkeypatch.setattr(pool_module, "run_deployment", lossy)
    with StandIn(name, do=well):
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert len(calls) == len(runs_of(name)) == 1


def test_below_the_run_of_a_flow_every_request_is_one_run_that_ends(name, config):
    @flow
    def conduct():
        return WorkPoolRuns(config, "backfill").run([RunRequest(name, "key", {})])

    for _ in range(3):  # the keys of the first runs are walked over
        with StandIn(name, do=well):
            state = conduct(return_state=True)
        assert state.result() == []
        mine = TaskRunFilter(
            flow_run_id=TaskRunFilterFlowRunId(any_=[state.state_details.flow_run_id])
        )
        with get_client(sync_client=True) as client:
            (below,) = client.read_task_runs(task_run_filter=mine)
        assert below.state_name == "Completed"


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_worker_died_is_crashed_and_its_request_goes_to_another(name, config, pool):
    def do(run):
        if len(workers.taken) == 1:
            give(run, Running())
            Workspace(config.workspace).claims.store.write(
                f"claims/{presence(config, run.id)}.json",
                b'{"place": "elsewhere", "process": 1, "owner": "x", "beat": 1}',
            )
        else:
            well(run)

    with pytest.MonkeyPatch.context() as patch, StandIn(name, do=do) as workers:
        patch.setattr(owner, "EXPIRY_S", 0.2)
        assert pool.run([RunRequest(name, "key", {})]) == []
    first, _ = workers.taken
    assert states_of(name) == ["Crashed", "Completed"]
    assert "its worker died" in read(first).state.message


@pytest.mark.usefixtures("impatient")
def test_a_run_with_a_claim_is_left_alone_however_long_it_takes(name, config, pool):
    claims = Workspace(config.workspace).claims

    def do(run):
        give(run, Running())
        stack.enter_context(claims.held(presence(config, run.id)))
        held.append((run, time.monotonic()))

    def waited(_):
        for run, since in held:
            if time.monotonic() - since > 1.0:
                give(run, Completed())

    held = []
    with ExitStack() as stack, StandIn(name, do=do):
        assert pool.run([RunRequest(name, "key", {})], waited=waited) == []
    assert states_of(name) == ["Completed"]


def test_a_run_that_lets_its_claim_go_has_time_to_say_how_it_ended(name, config, pool):
    def do(run):
        give(run, Running())
        time.sleep(0.5)
        give(run, Completed())

    with StandIn(name, do=do):
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert states_of(name) == ["Completed"]


def test_a_run_that_a_worker_takes_and_does_not_begin_is_given_to_another(name, project, server):
    pool = WorkPoolRuns(project.configure(blocks={"patience_s": 0.3}), "backfill")
    with StandIn(name, do=lambda run: len(workers.taken) > 1 and well(run)) as workers:
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert states_of(name) == ["Crashed", "Completed"]
    assert read(workers.taken[0]).state.message == "its worker took it and did not begin"


def test_runs_that_did_not_begin_count_as_no_attempt(name, project, server):
    """They may have waited for a GPU that others have."""
    config = project.configure(blocks={"patience_s": 0.2, "attempts": 1})
    with StandIn(name, do=lambda run: len(workers.taken) > 3 and well(run)) as workers:
        assert WorkPoolRuns(config, "backfill").run([RunRequest(name, "key", {})]) == []
    assert states_of(name) == ["Crashed"] * 3 + ["Completed"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("error", [OSError("away"), StoreRefused("denied")])
def test_a_store_that_cannot_be_looked_at_kills_nobody(name, config, pool, monkeypatch, error):
    def fail(*_):
        raise error

    def do(run):
        give(run, Running())
        threading.Timer(1.0, copy_context().run, (give, run, Completed())).start()

    monkeypatch.setattr(Claims, "is_silent", fail)
    with StandIn(name, do=do):
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert states_of(name) == ["Completed"]


def test_a_run_that_no_worker_takes_is_waited_for(name, project, server):
    pool = WorkPoolRuns(project.configure(blocks={"patience_s": 0.1}), "backfill")
    late = []

    def waited(seconds):
        if seconds > 1.0 and not late:
            late.append(stack.enter_context(StandIn(name, do=well)))

    with ExitStack() as stack:
        assert pool.run([RunRequest(name, "key", {})], waited=waited) == []
    assert states_of(name) == ["Completed"]
    assert late


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_was_thought_dead_may_still_say_how_its_run_ended(name, pool):
    def do(run):
        give(run, Running())
        if len(workers.taken) > 1:
            give(workers.taken[0], Completed(message="after all"))
            give(run, Completed())

    with StandIn(name, do=do) as workers:
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert read(workers.taken[0]).state.message == "after all"


def test_what_has_ended_in_the_meantime_is_not_crashed(name, pool):
    run = pool._submit(RunRequest(name, "key", {}), "key-1")
    well(run)
    prefect_api.mark_crashed(run, "too late")
    assert read(run).state_name == "Completed"


@pytest.mark.usefixtures("impatient")
def test_dead_runs_of_others_are_crashed_while_a_pool_waits(name, config, pool):
    dead, ended, alive = (pool._submit(RunRequest(name, key, {}), key) for key in "abc")
    give(dead, Running())
    well(ended)
    give(alive, Running())
    pool.watch([dead, ended, alive])
    with Workspace(config.workspace).claims.held(presence(config, alive.id)):
        other = f"{name}-other"
        register(other, name=config.name)

        def do(run):
            while read(dead).state_name == "Running":
                time.sleep(0.05)
            well(run)

        told = []
        with StandIn(other, do=do):
            assert pool.run([RunRequest(other, "key", {})], ended=told.append) == []
    assert [read(run).state_name for run in (dead, ended, alive)] == [
        "Crashed",
        "Completed",
        "Running",
    ]
    assert [request.flow for request in told] == [other]


def test_more_runs_than_the_server_gives_at_a_time_are_watched(name, pool, monkeypatch):
    monkeypatch.setattr(pool_module, "PAGE", 2)
    with StandIn(name, do=well) as workers:
        assert pool.run([RunRequest(name, f"{n}", {}) for n in range(5)], at_once=5) == []
    assert len(workers.taken) == 5


def test_a_server_that_is_away_for_a_while_is_waited_for(name, pool, monkeypatch):
    request, away = SyncPrefectClient.request, iter(range(5))

    def sometimes(client, method, path, **options):
        ours = threading.current_thread() is threading.main_thread()
        if ours and "flow_run" in path and next(away, None) is not None:
            raise httpx.ConnectError("away")
        return request(client, method, path, **options)

    with StandIn(name, do=well) as workers, monkeypatch.context() as patch:
        patch.setattr(SyncPrefectClient, "request", sometimes)
        assert pool.run([RunRequest(name, "key", {})]) == []
    assert next(away, None) is None
    assert len(workers.taken) == 1


def test_a_server_that_is_away_for_too_long_or_refuses_is_told(monkeypatch):
    monkeypatch.setattr(prefect_api, "OUTAGE_S", 0.2)
    asked = []

    def away():
        asked.append(time.monotonic())
        raise httpx.ConnectError("away")

    with pytest.raises(httpx.ConnectError, match="away"):
        patiently(away)
    assert asked[-1] - asked[0] > 0.1


def test_what_the_server_refuses_is_not_asked_again(name, pool, config):
    ended = pool._submit(RunRequest(name, "key", {}), "key-1")
    asked = []

    def ask():
        asked.append(1)
        with get_client(sync_client=True) as client:
            return client.request("POST", f"/flow_runs/{ended.id}/set_state", json={})

    with pytest.raises(httpx.HTTPStatusError, match="422"):
        patiently(ask)
    assert asked == [1]


def test_a_deployment_that_is_missing_is_one_sentence_with_the_remedy(pool, config):
    with pytest.raises(ConfigurationError) as raised:
        pool.run([RunRequest("unheard-of", "key", {})])
    assert str(raised.value) == (
        "the deployment 'unheard-of/tiny' must be registered, but is not; run `dotpipe deploy "
        "CONFIG` first"
    )


def test_pending_is_looked_at_from_when_it_began(name, config, pool):
    """A run that waited long for a worker has not spent the worker's time."""
    watched = liveness.Liveness(config.model_copy(update={"blocks": _patient(0.2)}))
    run = pool._submit(RunRequest(name, "key", {}), "key-1")
    assert watched.why_dead(run) is None
    time.sleep(0.3)
    give(run, Pending())
    assert watched.why_dead(read(run)) is None
    time.sleep(0.3)
    assert watched.why_dead(read(run)) == "its worker took it and did not begin"


def _patient(seconds):
    from tasks.config.compute import Blocks

    return Blocks(patience_s=seconds)
