"""Deployments: what `infra/prefect.yaml` says is what is registered, by either command."""

import subprocess
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Completed, Running, Scheduled

from flows.service import undeploying
from flows.service.deployments import UNSCHEDULED, defined, deploy, prepare, read_schedules
from flows.service.undeploying import Undeployed, undeploy
from tasks.config import Config
from tasks.io.errors import ConfigurationError

PREFECT = Path(sys.executable).with_name("prefect")
FLOWS = {
    "backfill-in-blocks": "conductors",
    "gc": "conductors",
    "backfill": "backfill",
    "shard-corpus": "backfill",
    "train-restorer": "backfill",
    "restore-dataset": "backfill",
    "fit-transport": "backfill",
    "enhance-block": "backfill",
    "evaluate-dataset": "backfill",
    "report": "backfill",
}
"""Every flow with the queue of its deployment."""


@pytest.fixture
def client(server):
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def config(project):
    return project.configure(name=f"tiny-{uuid.uuid4().hex[:8]}", fit={"refit_beyond": 0.1})


@pytest.fixture
def pool():
    """The name of a pool that no other test knows of."""
    return f"pool-{uuid.uuid4().hex[:8]}"


class Deployed(NamedTuple):
    """A configuration that is registered for a pool, and what that returned."""

    config: Config
    pool: str
    names: list[str]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, new_project, server):
    """One for all tests that change nothing of it."""
    project = new_project(tmp_path_factory.mktemp("deployed") / "project")
    config = project.configure(name="tiny-deployed")
    return Deployed(config, "pool-deployed", deploy(config, pool="pool-deployed"))


def deployments(client, name):
    """The deployments of a name, by their flows."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    found = client.read_deployments(deployment_filter=named)
    return {client.read_flow(each.flow_id).name: each for each in found}


def queues(client, pool):
    return {queue.name: queue for queue in client.read_work_queues(work_pool_name=pool)}


def schedules(client, config):
    """The cron lines of a configuration's deployments, by their flows."""
    return {
        flow: [(each.schedule.cron, each.schedule.timezone) for each in deployment.schedules]
        for flow, deployment in deployments(client, config.name).items()
        if deployment.schedules
    }


def plain(deployment):
    """What a deployment says, without what every one has of its own."""
    said = deployment.model_dump(
        mode="json",
        include={
            *("description", "parameters", "tags", "entrypoint", "path", "pull_steps"),
            *("work_queue_name", "work_pool_name", "job_variables", "paused", "version"),
            *("parameter_openapi_schema", "enforce_parameter_schema", "concurrency_limit"),
        },
    )
    lines = [each.schedule.model_dump(mode="json") for each in deployment.schedules]
    said["tags"].sort()
    return said | {"schedules": lines, "pull_steps": said["pull_steps"] or []}


def test_every_flow_is_registered_under_the_configurations_name(client, deployed):
    config, pool, names = deployed
    assert sorted(names) == sorted(f"{flow}/{config.name}" for flow in FLOWS)
    found = deployments(client, config.name)
    assert {flow: each.work_queue_name for flow, each in found.items()} == FLOWS
    for each in found.values():
        assert each.work_pool_name == pool
        assert Config.model_validate(each.parameters["config"]) == config
        assert each.tags == ["dotpipe", f"data-set:{config.name}"]
        assert (each.enforce_parameter_schema, each.paused) == (True, False)
    assert found["backfill-in-blocks"].parameters["queue"] == "nightly"
    assert [found[flow].parameters["keep"] for flow in ("backfill-in-blocks", "gc")] == [1, 1]


def test_entrypoints_are_modules_that_workers_have(client, deployed):
    for flow, each in deployments(client, deployed.config.name).items():
        assert load_flow_from_entrypoint(each.entrypoint).name == flow
        assert not each.pull_steps


def test_the_parameters_of_every_flow_fit_its_schema(client, deployed):
    """A run is refused by the server if they do not."""
    found = deployments(client, deployed.config.name)
    operator = {"name": "a", "digest": "b", "is_stochastic": False}
    more = {
        "enhance-block": {"operator": operator, "shards": ["shard-000000"]},
        "backfill-in-blocks": {"queue": "backfill", "keep": None},
    }
    for flow, each in found.items():
        run = client.create_flow_run_from_deployment(
            each.id, parameters=more.get(flow, {}), state=Scheduled()
        )
        assert Config.model_validate(run.parameters["config"]) == deployed.config
        client.delete_flow_run(run.id)
    with pytest.raises(Exception, match="queue"):
        client.create_flow_run_from_deployment(
            found["backfill-in-blocks"].id, parameters={"queue": "weekly"}
        )


def test_the_pool_has_the_queues_with_their_priorities_and_limits(client, deployed):
    assert client.read_work_pool(deployed.pool).type == "process"
    found = queues(client, deployed.pool)
    said = {
        name: {"priority": queue.priority, "concurrency_limit": queue.concurrency_limit}
        for name, queue in found.items()
        if name != "default"
    }
    wanted = {
        name: {"concurrency_limit": None} | options
        for name, options in defined()["definitions"]["queues"].items()
    }
    assert said == wanted
    ranks = {name: queue.priority for name, queue in found.items()}
    assert ranks["conductors"] < ranks["nightly"] < ranks["backfill"]


@pytest.mark.slow
def test_what_a_person_changed_of_pool_and_queues_stays(client, config, pool):
    deploy(config, pool=pool)
    client.update_work_pool(pool, WorkPoolUpdate(description="mine", concurrency_limit=7))
    queue = queues(client, pool)["backfill"]
    client.update_work_queue(queue.id, concurrency_limit=2)
    deploy(config, pool=pool)
    prepare(pool)
    kept = client.read_work_pool(pool)
    assert (kept.description, kept.concurrency_limit) == ("mine", 7)
    assert queues(client, pool)["backfill"].concurrency_limit == 2


def test_a_queue_of_one_machine_lets_one_run_compute_at_a_time(client, config, pool):
    prepare(pool)
    deploy(config, pool=pool)
    limits = {name: queue.concurrency_limit for name, queue in queues(client, pool).items()}
    assert limits == {"default": None, "conductors": None, "nightly": 1, "backfill": 1}


@pytest.mark.slow
def test_only_the_conductor_has_a_schedule_and_keeps_it_until_it_is_told_otherwise(
    client, config, pool
):
    deploy(config, pool=pool)
    assert schedules(client, config) == {}
    deploy(config, pool=pool, schedule="30 1 * * *")
    assert schedules(client, config) == {"backfill-in-blocks": [("30 1 * * *", "UTC")]}
    deploy(config, pool=pool)
    assert schedules(client, config) == {"backfill-in-blocks": [("30 1 * * *", "UTC")]}
    deploy(config, pool=pool, schedule="0 3 * * 1")
    assert schedules(client, config) == {"backfill-in-blocks": [("0 3 * * 1", "UTC")]}
    deploy(config, pool=pool, schedule=UNSCHEDULED)
    assert schedules(client, config) == {}


@pytest.mark.slow
def test_the_clean_up_has_a_schedule_of_its_own(client, config, pool):
    deploy(config, pool=pool, schedule="0 2 * * *", gc="0 12 * * 0")
    both = {"backfill-in-blocks": [("0 2 * * *", "UTC")], "gc": [("0 12 * * 0", "UTC")]}
    assert schedules(client, config) == both
    deploy(config, pool=pool, schedule=UNSCHEDULED)
    assert schedules(client, config) == {"gc": both["gc"]}
    deploy(config, pool=pool, gc=UNSCHEDULED)
    assert schedules(client, config) == {}
    with pytest.raises(ConfigurationError, match="--gc must be a cron line"):
        deploy(config, pool=pool, gc="on Sundays")


def test_a_schedule_wants_to_know_what_new_images_mean_for_the_operator(project):
    silent = project.configure()
    with pytest.raises(ConfigurationError) as raised:
        read_schedules(silent, schedule="0 2 * * *")
    assert str(raised.value) == (
        "a configuration with a schedule must say in fit.refit_beyond how far statistics may move "
        "before the operator is fitted again, got null: every night with a new image would enhance "
        "all images again. Write fit: {refit_beyond: 0.1} to keep the operator while they hardly "
        "move, or 0 for a new one after every change"
    )
    assert read_schedules(silent, schedule=UNSCHEDULED, gc="0 12 * * 0")
    assert read_schedules(silent, schedule=None, gc=None) == {}
    always = project.configure(fit={"refit_beyond": 0})
    assert read_schedules(always, schedule="0 2 * * *")


@pytest.mark.parametrize("line", ["tonight", "* * *", "61 2 * * *", ""])
def test_a_schedule_that_is_no_cron_line_is_one_sentence_and_registers_nothing(
    client, config, pool, line
):
    with pytest.raises(ConfigurationError) as raised:
        deploy(config, pool=pool, schedule=line)
    assert str(raised.value) == (
        f"--schedule must be a cron line as in '0 2 * * *', or 'none', got {line!r}"
    )
    assert deployments(client, config.name) == {}


def test_what_was_registered_is_removed_and_nothing_of_others(client, config, project, pool):
    other = project.configure(name=f"other-{uuid.uuid4().hex[:8]}")
    deploy(other, pool=pool)
    names = deploy(config, pool=pool, schedule="30 1 * * *")
    found = deployments(client, config.name)
    running, waiting, ended = (
        client.create_flow_run_from_deployment(found["backfill"].id, name=name)
        for name in ("at work", "not begun", "done")
    )
    client.set_flow_run_state(running.id, Running())
    for state in (Running(), Completed()):
        client.set_flow_run_state(ended.id, state)
    removed = undeploy(config.name)
    assert sorted(removed.names) == sorted(names)
    assert removed.schedules == ["30 1 * * *"]
    assert removed.running == [("backfill", "at work")]
    assert "not begun" in removed.dropped
    assert deployments(client, config.name) == {}
    assert len(deployments(client, other.name)) == len(FLOWS)
    assert client.read_flow_run(running.id).state_name == "Running"
    assert client.read_flow_run(ended.id).state_name == "Completed"
    with pytest.raises(ObjectNotFound):
        client.read_flow_run(waiting.id)
    assert undeploy(config.name) == Undeployed([], [], [], [])
    assert "backfill" in queues(client, pool)


@pytest.mark.slow
def test_all_runs_that_wait_are_counted(client, config, pool, monkeypatch):
    monkeypatch.setattr(undeploying, "PAGE", 2)
    deploy(config, pool=pool)
    backfill = deployments(client, config.name)["backfill"]
    for number in range(5):
        client.create_flow_run_from_deployment(backfill.id, name=f"run {number}")
    assert sorted(undeploy(config.name).dropped) == [f"run {number}" for number in range(5)]


@pytest.mark.slow
def test_a_changed_configuration_takes_the_place_of_the_former(client, config, pool):
    deploy(config, pool=pool)
    before = deployments(client, config.name)
    changed = config.model_copy(update={"weights": "s3://bucket/weights"})
    deploy(changed, pool=pool)
    after = deployments(client, config.name)
    assert {flow: each.id for flow, each in after.items()} == {
        flow: each.id for flow, each in before.items()
    }
    assert {each.parameters["config"]["weights"] for each in after.values()} == {
        "s3://bucket/weights"
    }


@pytest.mark.slow
def test_prefect_deploy_registers_the_same_from_the_same_file(
    client, shell, prefect_home, repository, server
):
    example = defined()["definitions"]["config"]
    config = Config.model_validate(example)
    deploy(config)  # the pool, which prefect deploy wants to be there
    nights, weeks = (
        each["schedules"][0]["cron"] for each in defined()["deployments"] if "schedules" in each
    )
    done = subprocess.run(
        [PREFECT, "deploy", "--prefect-file", "infra/prefect.yaml", "--all"],
        cwd=repository,
        env=shell(prefect_home, server),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = {flow: plain(each) for flow, each in deployments(client, config.name).items()}
    assert sorted(theirs) == sorted(FLOWS)
    for each in deployments(client, config.name).values():
        client.delete_deployment(each.id)
    deploy(config, schedule=nights, gc=weeks)
    ours = {flow: plain(each) for flow, each in deployments(client, config.name).items()}
    deploy(config, schedule=UNSCHEDULED, gc=UNSCHEDULED)
    for flow in FLOWS:
        given = Config.model_validate(theirs[flow]["parameters"].pop("config"))
        assert given == Config.model_validate(ours[flow]["parameters"].pop("config"))
        assert theirs[flow] == ours[flow]
