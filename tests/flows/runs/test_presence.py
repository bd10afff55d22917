"""A flow is seen at its workspace while it lasts, and waits for a clean-up."""

import json
import threading
import time

import pytest
from prefect import flow

from flows.runs.presence import at_work, presence
from tasks.config.registry import registered
from tasks.io.ledger import claims as claims_module
from tasks.io.ledger import owner
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
