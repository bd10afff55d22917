"""Taking over: runs of a schedule that are late, and runs whose workers are gone."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.flow_engine import run_flow
from prefect.states import Completed, Pending, Running, Scheduled
from servers.pool_stand_in import give, read, register, runs_of

from flows.runs import takeover
from flows.runs.takeover import cancel_late_runs, crash_orphans, runs_under_way

YEARLY = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 0 1 1 *", timezone="UTC"))


@flow(name="conduct-late", flow_run_name="the one of tonight")
def conduct(config=None):
    cancel_late_runs()


@pytest.fixture
def client(server):
    with get_client(sync_client=True) as client:
        yield client


def deployed(name, config, *, schedules=None):
    """The id of a deployment of a flow under the configuration's name."""
    return register(name, name=config.name, schedules=schedules)[0]


def submitted(client, deployment, config, *, minutes=0, **parameters):
    """A run of it that somebody asked for, to begin then."""
    return client.create_flow_run_from_deployment(
        deployment,
        parameters={"config": config.model_dump(mode="json"), **parameters},
        state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(minutes=minutes)),
    )


def scheduled(client, deployment):
    """Four runs of its yearly schedule: three that are late, and the next."""
    start = datetime.now(UTC) - timedelta(days=3 * 365.2425)
    window = {
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(days=2000)).isoformat(),
        "min_runs": 4,
        "max_runs": 4,
    }
    client.request("POST", f"/deployments/{deployment}/schedule", json=window)


def test_late_runs_of_the_schedule_are_cancelled_with_the_reason(client, project):
    config = project.configure()
    own = deployed("conduct-late", config, schedules=[YEARLY])
    other = deployed("another-flow", config, schedules=[YEARLY])
    scheduled(client, own)
    scheduled(client, other)
    by_hand = submitted(client, own, config, minutes=-5)
    run = submitted(client, own, config)
    run_flow(conduct, flow_run=run)
    now = datetime.now(UTC)
    runs = [found for found in runs_of("conduct-late") if found.auto_scheduled]
    late = [found for found in runs if found.expected_start_time < now]
    assert len(late) == 3
    assert {found.state_name for found in late} == {"Cancelled"}
    assert {found.state.message for found in late} == {"done by the run 'the one of tonight'"}
    assert {found.state_name for found in runs if found not in late} == {"Scheduled"}
    assert {found.state_name for found in runs_of("another-flow")} <= {"Scheduled", "Late"}
    assert not read(by_hand).state.is_final()
    assert read(run).state_name == "Completed"


def test_a_run_that_was_not_deployed_cancels_none(server):
    assert conduct(return_state=True).name == "Completed"


@pytest.mark.parametrize("page", [1, 100])
def test_runs_under_way_are_those_that_workers_have_taken_on_this_workspace(
    client, project, monkeypatch, page
):
    monkeypatch.setattr(takeover, "PAGE", page)
    config = project.configure(name=f"under-way-{page}")
    here, elsewhere = deployed("take", config), deployed("take-too", config)
    waiting = submitted(client, here, config)
    pending, running, ended, moved = (submitted(client, here, config) for _ in range(4))
    moved = submitted(client, elsewhere, config.model_copy(update={"workspace": "/elsewhere"}))
    foreign = client.create_flow_run_from_deployment(elsewhere, parameters={"config": "mine"})
    unlike = deployed("take", project.configure(name=f"under-way-{page}-too"))
    named_otherwise = submitted(client, unlike, config)
    give(pending, Pending())
    give(running, Pending(), Running())
    give(ended, Pending(), Running(), Completed())
    for run in (moved, foreign, named_otherwise):
        give(run, Pending(), Running())
    found = {run.id for run in runs_under_way(config)}
    assert found == {pending.id, running.id}
    assert waiting.id not in found


def test_a_run_is_not_beside_itself(client, project):
    config = project.configure(name="alone")
    found = []

    @flow(name="take-alone")
    def take(config):
        found.extend(runs_under_way(project.configure(name="alone")))

    run = submitted(client, deployed("take-alone", config), config)
    run_flow(take, flow_run=run, parameters={"config": None})
    assert found == []
    assert read(run).state_name == "Completed"


def test_runs_whose_processes_are_gone_are_crashed_in_a_pool_that_has_no_worker(client, project):
    config = project.configure(name="orphans")
    (own,) = register("toil", name="orphans", pool="of-this-machine")
    (other,) = register("toil-too", name="orphans", pool="of-another")
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    ended = int(subprocess.run(command, capture_output=True, check=True).stdout)
    processes = {"ended": ended, "alive": os.getpid(), "unknown": None}
    runs = {name: submitted(client, own, config) for name in (*processes, "waiting", "done")}
    runs["elsewhere"] = submitted(client, other, config)
    for name in ("ended", "alive", "done", "elsewhere"):
        give(runs[name], Pending(), Running())
        process = processes.get(name, processes["ended"])
        client.update_flow_run(runs[name].id, infrastructure_pid=f"host:{process}")
    give(runs["unknown"], Pending())
    give(runs["done"], Completed())
    crash_orphans("of-this-machine")
    assert {name: read(run).state_name for name, run in runs.items()} == {
        "ended": "Crashed",
        "alive": "Running",
        "unknown": "Crashed",
        "waiting": "Scheduled",
        "done": "Completed",
        "elsewhere": "Running",
    }
    assert read(runs["ended"]).state.message == "its worker was ended, and its process with it"
