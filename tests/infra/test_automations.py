"""The automations on a live server: all are taken, and they raise their alarms.

What takes minutes as shipped (a run is dead after twenty without a heartbeat) is shortened here
to the least that Prefect allows, ten seconds; the rest of each is as shipped.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import yaml
from container_definitions import INFRA
from servers.prefect_service import Service, prefect_service

FILE = INFRA / "automations.yaml"
PATIENCE_S = 90

pytestmark = [pytest.mark.slow, pytest.mark.service]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Service]:
    """A Prefect server on which the automations were registered, as the operator's page has it.

    As shipped they are taken and removed again; those that stay are quick.
    """
    folder = tmp_path_factory.mktemp("automations")
    quick = yaml.safe_load(FILE.read_text("utf-8"))
    for one in quick["automations"]:
        if one["trigger"]["posture"] == "Proactive":
            one["trigger"]["within"] = 10
    (folder / FILE.name).write_text(yaml.safe_dump(quick), "utf-8")
    with prefect_service(folder, f"sqlite+aiosqlite:///{folder}/prefect.db") as service:
        register(service, FILE)
        for one in service.ask("automations/filter", limit=200):
            httpx.delete(f"{service.api}/automations/{one['id']}", timeout=30).raise_for_status()
        register(service, folder / FILE.name)
        yield service


def register(service, path):
    command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(path)]
    environment = service.variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Created 7 automation(s)" in done.stdout


def emit(server, event, resource, *related, **payload):
    """Tell an event as a run would."""
    told = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource},
        "related": list(related),
        "payload": payload,
    }
    httpx.post(f"{server.api}/events", json=[told], timeout=30).raise_for_status()


def alarms(server, about):
    """The names of the alarms that events about a resource have raised."""
    asked = {"event": {"name": ["prefect.automation.triggered"]}}
    found = server.ask("events/filter", filter=asked, limit=50)["events"]
    return [
        one["resource"]["prefect.resource.name"]
        for one in found
        if one["payload"]["triggering_event"]["resource"]["prefect.resource.id"] == about
    ]


def wait_for(answer):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := answer()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def running(server):
    """A flow run that says it is running; nobody does anything for it."""
    flow = server.ask("flows/", name="backfill-in-blocks")["id"]
    state = {"type": "RUNNING", "name": "Running"}
    return server.ask("flow_runs/", flow_id=flow, state=state)["id"]


@pytest.mark.parametrize(
    ("event", "alarm"),
    [
        ("dotpipe.run.refusing", "dotpipe run refuses images"),
        ("dotpipe.run.stalled", "dotpipe run stalled"),
    ],
)
def test_a_runs_event_raises_its_alarm_once_an_hour(server, event, alarm):
    about = f"dotpipe.run.faces-{uuid.uuid4().hex[:6]}"
    for _ in range(3):
        emit(server, event, about)
    assert wait_for(lambda: alarms(server, about)) == [alarm]
    emit(server, event, f"{about}-other")
    assert wait_for(lambda: alarms(server, f"{about}-other")) == [alarm]
    assert alarms(server, about) == [alarm]


def test_a_run_that_stops_sending_heartbeats_is_marked_as_crashed(server):
    run = running(server)
    emit(server, "prefect.flow-run.heartbeat", f"prefect.flow-run.{run}")
    state = wait_for(
        lambda: s if (s := server.ask(f"flow_runs/{run}")["state"])["type"] != "RUNNING" else None
    )
    assert (state["type"], state["message"]) == (
        "CRASHED",
        "no heartbeat for twenty minutes: the process or its machine is gone",
    )


def test_a_pool_that_has_lost_its_workers_raises_an_alarm_and_one_that_has_them_back_does_not(
    server,
):
    lost, back = (f"prefect.work-pool.{uuid.uuid4()}" for _ in range(2))
    for pool in (lost, back):
        emit(server, "prefect.work-pool.not-ready", pool)
    time.sleep(1)  # the server takes events of one moment in any order
    emit(server, "prefect.work-pool.ready", back)
    assert wait_for(lambda: alarms(server, lost)) == ["dotpipe pool without workers"]
    assert alarms(server, back) == []


SCHEDULED = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.auto-scheduled"}
BY_HAND = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.dotpipe"}


def test_a_scheduled_run_that_fails_raises_an_alarm_and_one_by_hand_does_not(server):
    nightly, by_hand = (f"prefect.flow-run.{uuid.uuid4()}" for _ in range(2))
    emit(server, "prefect.flow-run.Failed", by_hand, BY_HAND)
    emit(server, "prefect.flow-run.Failed", nightly, SCHEDULED)
    assert wait_for(lambda: alarms(server, nightly)) == ["dotpipe nightly run failed"]
    assert alarms(server, by_hand) == []


def test_a_scheduled_run_that_nobody_takes_raises_an_alarm_and_one_that_is_taken_does_not(server):
    waiting, taken = (f"prefect.flow-run.{uuid.uuid4()}" for _ in range(2))
    for run in (waiting, taken):
        emit(server, "prefect.flow-run.Late", run, SCHEDULED)
    emit(server, "prefect.flow-run.Pending", taken, SCHEDULED)
    assert wait_for(lambda: alarms(server, waiting)) == ["dotpipe nightly run waits"]
    assert alarms(server, taken) == []
