"""A flow is seen at its workspace while it lasts, and waits for a clean-up."""

import json
import threading
import time

import httpx
import pytest
from prefect import flow

from flows.runs import healing, prefect_api
from flows.runs.healing import may_heal
from flows.runs.prefect_api import client
from flows.runs.presence import at_work, presence
from tasks.config.registry import registered
from tasks.io.errors import AccessRefused, WeightsMissing
from tasks.io.ledger import Claims, owner
from tasks.io.ledger import claims as claims_module
from tasks.io.workspace import CLEANING, Workspace, alone


@pytest.fixture
def config(project, monkeypatch):
    monkeypatch.setattr(claims_module, "_POLL_S", 0.05)
    return project.configure()


@pytest.fixture
def workspace(config):
    return Workspace(config.workspace)


def test_a_flow_is_claimed_and_registered_while_it_lasts(config, workspace):
    @at_work
    def flow(given):
        assert given == config
        (claim,) = workspace.claims.names()
        return claim

    assert flow(config).startswith("runs/tiny-")
    assert workspace.claims.names() == []
    assert list(registered(workspace.store)) == [config]


def test_a_flow_waits_for_a_clean_up_to_end(config, workspace):
    ended = []

    @at_work
    def flow(_):
        ended.append("flow")

    with workspace.claims.held(CLEANING):
        thread = threading.Thread(target=flow, args=(config,))
        thread.start()
        time.sleep(0.3)
        ended.append("clean-up")
    thread.join()
    assert ended == ["clean-up", "flow"]


def test_beside_a_flow_nothing_can_be_cleaned(config, workspace):
    @at_work
    def flow(_):
        with pytest.raises(Exception, match="no run must be at work"), alone(workspace):
            pytest.fail("cleaned")

    flow(config)
    with alone(workspace):
        assert workspace.claims.names() == [CLEANING]


@pytest.mark.usefixtures("server")
def test_the_id_of_a_run_leads_to_its_claim(config):
    claimed = []

    @flow
    @at_work
    def run(given):
        claimed.extend(Workspace(given.workspace).claims.names())

    state = run(config, return_state=True)
    assert claimed == [presence(config, state.state_details.flow_run_id)]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("error", "heals"), [(WeightsMissing("not there"), False), (RuntimeError("a lost GPU"), True)]
)
def test_a_run_says_whether_its_failure_can_heal(config, error, heals):
    @flow
    @at_work
    def run(given):
        raise error

    state = run(config, return_state=True)
    with client() as api:
        ended = api.read_flow_run(state.state_details.flow_run_id)
    assert ended.state_name == "Failed"
    assert may_heal(ended) is heals


@pytest.mark.usefixtures("server")
def test_a_workspace_that_refuses_this_user_is_a_failure_that_cannot_heal(config, monkeypatch):
    def refuse(*_, **__):
        raise AccessRefused("denied")

    monkeypatch.setattr(Claims, "held", refuse)

    @flow
    @at_work
    def run(given):
        pytest.fail("begun")

    state = run(config, return_state=True)
    with client() as api:
        assert not may_heal(api.read_flow_run(state.state_details.flow_run_id))


@pytest.mark.usefixtures("server")
def test_a_note_that_cannot_be_left_hides_no_error(config, monkeypatch):
    def away(*_):
        raise httpx.ConnectError("away")

    monkeypatch.setattr(healing, "_note", away)
    monkeypatch.setattr(prefect_api, "OUTAGE_S", 0.0)

    @flow
    @at_work
    def run(given):
        raise WeightsMissing("not there")

    with pytest.raises(WeightsMissing, match="not there"):
        run(config)


@pytest.mark.usefixtures("server")
def test_a_run_waits_until_the_claim_of_its_former_process_has_faded(
    config, workspace, monkeypatch
):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.3)
    monkeypatch.setattr("flows.runs.presence.presence", lambda *_: "runs/again")
    said = {"place": "another machine", "process": 1, "owner": "x", "beat": "y"}
    workspace.store.write("claims/runs/again.json", json.dumps(said).encode())
    claimed = []

    @at_work
    def flow(_):
        claimed.append(json.loads(workspace.store.read("claims/runs/again.json")))

    flow(config)
    ((claim),) = claimed
    assert claim["place"] != "another machine"
