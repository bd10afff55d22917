"""What a run has told the server by its end: events with numbers, and task runs with names."""

import time
from collections import Counter

import httpx
import pytest


@pytest.fixture(scope="module")
def ask(server):
    """Asks the server what it knows."""

    def answer(kind, **asked):
        return httpx.post(f"{server}/api/{kind}/filter", json=asked).raise_for_status().json()

    return answer


@pytest.fixture(scope="module")
def flow_runs(backfilled):
    """The identities of the flow runs of the one backfill."""
    return {artifact["flow_run_id"] for artifact in backfilled.artifacts}


@pytest.fixture(scope="module")
def events(ask, flow_runs):
    """All of its events of ours that are about shards."""
    wanted = {
        "event": {"prefix": ["dotpipe.shard."]},
        "related": {"id": [f"prefect.flow-run.{run}" for run in flow_runs]},
    }
    return waited_for(17, ask, wanted)


def waited_for(count, ask, wanted):
    """So many events, at least; they are written some seconds after they are sent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = ask("events", filter=wanted, limit=50)["events"]
        if len(found) >= count:
            return found
        time.sleep(0.5)
    pytest.fail(f"fewer than {count} events")


def test_every_shard_of_every_step_is_told_once(events):
    told = Counter((e["event"], e["resource"]["dotpipe.data-set"]) for e in events)
    assert told == {
        ("dotpipe.shard.made", "natural"): 2,
        ("dotpipe.shard.made", "reference"): 3,
        ("dotpipe.shard.restored", "tiny.source"): 2,
        ("dotpipe.shard.restored", "tiny"): 3,
        ("dotpipe.shard.measured", "tiny.source"): 2,
        ("dotpipe.shard.measured", "natural"): 2,
        ("dotpipe.shard.enhanced", "tiny"): 3,
    }
    identities = {(e["event"], e["resource"]["prefect.resource.id"]) for e in events}
    assert len(identities) == len(events)
    assert ("dotpipe.shard.enhanced", "dotpipe.shard.tiny.shard-000002") in identities


def test_an_enhanced_shard_is_told_with_its_numbers_and_what_it_belongs_to(events, backfilled):
    told = [event for event in events if event["event"] == "dotpipe.shard.enhanced"]
    (first,) = (e for e in told if e["resource"]["dotpipe.shard"] == "shard-000000")
    (operator,) = (
        path.stem for path in backfilled.project.workspace.glob("operators/tiny/*.safetensors")
    )
    numbers = first["payload"]
    assert (numbers["images"], numbers["refused"], numbers["alphas"]) == (3, {}, [0.0, 0.5])
    assert numbers["images_per_second"] == pytest.approx(3 / sum(numbers["seconds"].values()), 0.01)
    assert {"read", "encode network", "transport", "decode network"} <= numbers["seconds"].keys()
    assert numbers["device"].startswith("cpu of ")
    related = {r["prefect.resource.role"]: r["prefect.resource.id"] for r in first["related"]}
    assert related["data-set"] == "dotpipe.data-set.tiny"
    assert related["operator"] == f"dotpipe.operator.{operator}"
    assert {"flow-run", "task-run", "flow"} <= related.keys()


def test_a_run_that_has_ended_is_told_with_its_report_and_its_steps(ask, backfilled):
    wanted = {"event": {"name": ["dotpipe.run.finished"]}, "order": "ASC"}
    told = waited_for(1, ask, wanted)
    mine = next(e for e in told if e["payload"]["report"] == backfilled.address)
    assert mine["resource"]["prefect.resource.id"] == "dotpipe.run.tiny"
    steps = {step["step"]: step for step in mine["payload"]["steps"]}
    assert steps.keys() >= {"shard natural", "restore tiny", "enhance tiny", "score tiny"}
    enhanced = steps["enhance tiny"]
    assert (enhanced["shards"], enhanced["made"], enhanced["images"]) == (3, 3, 8)
    assert enhanced["images_per_second"] > 0


def test_task_runs_are_named_by_what_they_do_and_to_which_shard(ask, flow_runs):
    runs = ask("task_runs", flow_runs={"id": {"any_": sorted(flow_runs)}})
    assert {
        "shard natural shard-000000",
        "restore tiny shard-000002",
        "measure natural shard-000001",
        "enhance tiny shard-000000",
        "fidelity of alpha 0.5",
    } <= {run["name"] for run in runs}
