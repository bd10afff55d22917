"""Following a run: what is shown of it, and how it ends when the run cannot."""

import io
import time
from types import SimpleNamespace

import httpx
import pytest
from prefect import flow
from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Completed, Failed, Pending, Running, Scheduled
from rich.console import Console
from servers.pool_stand_in import give, read, register

from flows.cli import follow as follow_module
from flows.cli.follow import follow
from flows.runs import liveness, prefect_api
from flows.runs.presence import presence
from tasks.config.compute import Blocks
from tasks.io.errors import DotpipeError
from tasks.io.workspace import Workspace


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(follow_module, "_SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(prefect_api, "_PAUSE_S", 0.02)


@pytest.fixture
def config(project, server):
    return project.configure()


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), width=120)


@pytest.fixture
def run(config):
    """A run that somebody has submitted."""
    (deployment,) = register("follow-me", name=config.name)
    with get_client(sync_client=True) as client:
        return client.create_flow_run_from_deployment(deployment, state=Scheduled(), name="ant")


def shown(terminal):
    return terminal.file.getvalue()


@flow(name="shard-corpus")
def stage():
    create_progress_artifact(40.0, key="shard", description="shard natural: 4 images")


@flow(name="enhance-block")
def block():
    create_progress_artifact(70.0, key="enhance", description="shards of one of many blocks")


@flow(name="backfill")
def whole():
    stage()


@flow(name="follow-many", flow_run_name="bee")
def conduct():
    create_progress_artifact(30.0, key="blocks", description="2 blocks in 5 s")
    whole()
    stage()
    block()


def test_the_steps_of_a_run_and_of_its_stages_are_shown_and_those_of_blocks_are_not(
    config, terminal
):
    state = conduct(return_state=True)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    assert follow(run, config, terminal).state_name == "Completed"
    _, first, *steps = shown(terminal).splitlines()
    assert first.startswith("bee: completed")
    assert "100 %" in first
    assert [line.partition("━")[0].strip() for line in steps] == [
        "2 blocks in 5 s",
        "shard natural: 4 images",
    ]
    assert ["30 %" in steps[0], "40 %" in steps[1]] == [True, True]


@pytest.mark.parametrize("end", [Completed, Failed])
def test_a_run_is_followed_through_its_states_until_it_ends(
    config, terminal, run, monkeypatch, end
):
    states = iter([Pending(), Running(), end(message="so it was")])
    monkeypatch.setattr(follow_module.time, "sleep", lambda _: give(run, next(states)))
    ended = follow(run, config, terminal)
    assert (ended.state.type, ended.state.message) == (end().type, "so it was")
    assert next(states, None) is None
    assert shown(terminal).splitlines()[:-1] == [
        f"ant: {state}" for state in ("scheduled", "pending", "running", end().name.lower())
    ]


def test_a_run_whose_worker_died_is_crashed(config, terminal, run, monkeypatch):
    monkeypatch.setattr(liveness, "_SILENCE_S", 0.1)
    give(run, Pending(), Running())
    held = Workspace(config.workspace).claims.held(presence(config, run.id))
    held.__enter__()
    looks = iter(range(3))

    def sleep(_):
        if next(looks, None) == 2:
            held.__exit__(None, None, None)
        time.sleep(0.02)

    monkeypatch.setattr(
        follow_module, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    )
    ended = follow(run, config, terminal)
    assert ended.state_name == "Crashed"
    assert "its worker died" in ended.state.message


@pytest.mark.parametrize("state", [Pending, Running])
def test_whoever_follows_from_afar_takes_no_run_for_dead(config, terminal, run, monkeypatch, state):
    """A folder of the workspace's name may be another one here, and Jobs may wait for a node."""
    monkeypatch.setattr(liveness, "_SILENCE_S", 0.0)
    give(run, Pending(), state())
    impatient = config.model_copy(update={"blocks": Blocks(patience_s=0.01)})
    looks = iter(range(5))

    def sleep(_):
        if next(looks, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        follow_module, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    )
    with pytest.raises(KeyboardInterrupt):
        follow(run, impatient, terminal)
    assert read(run).state_type == state().type


def test_a_server_that_is_away_for_a_while_is_waited_for(config, terminal, run, monkeypatch):
    request, away = SyncPrefectClient.request, iter(range(4))

    def sometimes(client, method, path, **options):
        if next(away, None) is not None:
            raise httpx.ConnectError("away")
        return request(client, method, path, **options)

    give(run, Pending(), Running(), Completed())
    monkeypatch.setattr(SyncPrefectClient, "request", sometimes)
    assert follow(run, config, terminal).state_name == "Completed"
    assert next(away, None) is None


def test_a_server_that_stays_away_is_one_sentence(config, terminal, run, monkeypatch):
    def away(*_, **__):
        raise httpx.ConnectError("away")

    monkeypatch.setattr(prefect_api, "OUTAGE_S", 0.1)
    monkeypatch.setattr(SyncPrefectClient, "request", away)
    with pytest.raises(DotpipeError) as raised:
        follow(run, config, terminal)
    assert str(raised.value) == (
        "the Prefect server must answer for the run 'ant' to be followed, but is away; the run "
        "may go on meanwhile"
    )


def test_a_run_that_is_deleted_is_one_sentence(config, terminal, run):
    with get_client(sync_client=True) as client:
        client.delete_flow_run(run.id)
    with pytest.raises(DotpipeError) as raised:
        follow(run, config, terminal)
    assert str(raised.value) == (
        "the run 'ant' must be on the Prefect server to be followed, but was deleted"
    )


def test_a_run_that_waits_for_a_worker_is_left_alone(config, terminal, run, monkeypatch):
    monkeypatch.setattr(liveness, "_SILENCE_S", 0.0)
    monkeypatch.setattr(follow_module, "_HINT_S", 0.0)
    looks = iter(range(5))

    def sleep(_):
        if next(looks, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow_module.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        follow(run, config, terminal)
    assert read(run).state_name == "Scheduled"
    assert (
        "no worker asks for work of the pool 'stand-in'; `dotpipe up --pool stand-in`"
        in " ".join(shown(terminal).split())
    )


def test_without_a_terminal_new_progress_is_a_line_now_and_then(terminal, monkeypatch):
    monkeypatch.setattr(follow_module, "PERIOD_S", 0.0)
    remarks = follow_module._Remarks(terminal)
    seen = SimpleNamespace(id=1, description="enhance: 340 of 1000 images, 12.3 images per second")
    for _ in range(2):
        remarks.print_progress([seen, SimpleNamespace(id=2, description=None)])
    assert shown(terminal) == "enhance: 340 of 1000 images, 12.3 images per second\n"
    monkeypatch.setattr(follow_module, "PERIOD_S", 60.0)
    remarks.print_progress([SimpleNamespace(id=1, description="another")])
    assert "another" not in shown(terminal)
