"""The alarms: taken by Prefect as they are written, each with a page for the operator."""

import re
from typing import get_args

import pytest
import yaml
from container_definitions import INFRA
from prefect.events.schemas.automations import AutomationCore
from prefect.server.events.schemas.automations import AutomationCore as ServerAutomation
from prefect.server.schemas.statuses import WorkPoolStatus
from prefect.settings.models.flows import FlowsSettings

from flows.runs.prefect_api import OUTAGE_S
from flows.service.alarms import TRIED
from tasks.jobs.events import RunVerb

AUTOMATIONS = yaml.safe_load((INFRA / "automations.yaml").read_text("utf-8"))["automations"]
RULES = [
    rule
    for group in yaml.safe_load((INFRA / "prometheus-alarms.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
PAGE = (INFRA / "docs" / "operations.md").read_text("utf-8")
HEADINGS = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
each_automation = pytest.mark.parametrize("given", AUTOMATIONS, ids=lambda one: one["name"])


def named(name):
    (found,) = [one for one in AUTOMATIONS if one["name"] == name]
    return found


@each_automation
def test_prefect_takes_the_automation_and_ignores_no_word_of_it(given):
    taken = AutomationCore.model_validate(given).model_dump(mode="json", exclude_unset=True)
    assert set(given) <= set(taken)
    assert set(given["trigger"]) <= set(taken["trigger"])
    for action, understood in zip(given["actions"], taken["actions"], strict=True):
        assert action.items() <= understood.items()
    ServerAutomation.model_validate(AutomationCore.model_validate(given).model_dump(mode="json"))


@each_automation
def test_the_automation_works_without_anything_else_being_set_up(given):
    kinds = {action["type"] for action in given["actions"]}
    assert kinds <= {"do-nothing", "change-flow-run-state"}


def test_a_run_is_taken_for_dead_after_three_heartbeats_and_more_than_an_outage_of_the_server():
    trigger = named("dotpipe run without a sign of life")["trigger"]
    often = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert trigger["within"] >= max(3 * often, OUTAGE_S + often)
    files = [*INFRA.glob("*.yaml"), *INFRA.glob("kubernetes/*"), INFRA / "Dockerfile"]
    assert not [f for f in files if "HEARTBEAT_FREQUENCY" in f.read_text("utf-8")]


def test_the_events_that_are_waited_for_are_told_by_our_runs_and_by_pools():
    awaited = {
        name
        for one in AUTOMATIONS
        for name in (*one["trigger"].get("after", []), *one["trigger"]["expect"])
    }
    ours = {f"dotpipe.run.{verb}" for verb in get_args(RunVerb)}
    pools = {f"prefect.work-pool.{status.in_kebab_case()}" for status in WorkPoolStatus}
    assert {"dotpipe.run.refusing", "dotpipe.run.stalled"} <= awaited
    for name in awaited:
        assert name in ours | pools | {TRIED} or name.startswith("prefect.flow-run."), name


def test_every_alarm_has_a_heading_in_the_operators_page_and_the_other_way_round():
    raised = [one["name"] for one in AUTOMATIONS] + [rule["alert"] for rule in RULES]
    assert raised == HEADINGS


def test_prometheus_reads_the_server_with_the_password_that_compose_hands_it():
    tree = yaml.safe_load((INFRA / "prometheus.yaml").read_text("utf-8"))
    (server,) = [one for one in tree["scrape_configs"] if one["job_name"] == "prefect"]
    assert server["metrics_path"] == "/api/metrics"
    assert server["basic_auth"]["password_file"] == "/run/secrets/prometheus-password"
    assert server["static_configs"] == [{"targets": ["server:4200"]}]
    assert tree["rule_files"] == ["prometheus-alarms.yaml"]
