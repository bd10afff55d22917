"""The board of Grafana, and the rules of Prometheus, ask for metrics that there are."""

import json
import re

import prefect.events.clients
import prefect.logging.clients
import prefect.server.api.server
import pytest
import yaml
from container_definitions import INFRA, services
from prometheus_client import REGISTRY

BOARD = json.loads((INFRA / "grafana" / "dashboard.json").read_text("utf-8"))
RULES = yaml.safe_load((INFRA / "prometheus-alarms.yaml").read_text("utf-8"))["groups"]
QUERIES = [
    *(target["expr"] for panel in BOARD["panels"] for target in panel["targets"]),
    *(rule["expr"] for group in RULES for rule in group["rules"]),
]
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}


def known():
    """The names of all metrics of a Prefect server; its modules have registered them."""
    assert prefect.server.api.server
    assert prefect.events.clients
    assert prefect.logging.clients
    return {f"{m.name}_total" if m.type == "counter" else m.name for m in REGISTRY.collect()}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_name_metrics_of_the_installed_prefect_only(query):
    asked = set(re.findall(r"([a-z_]+)\{", query)) - {"instance"}
    assert asked
    assert asked <= known() | OF_PROMETHEUS


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_the_server_only(query):
    assert query.count("{") == query.count('{job="prefect"')


def test_panels_do_not_cover_each_other_and_say_what_they_show():
    taken = set()
    for panel in BOARD["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["description"], panel["title"]
    assert max(x for x, _ in taken) < 24


def test_the_board_reads_the_source_that_is_provided():
    source = yaml.safe_load((INFRA / "grafana" / "datasource.yaml").read_text("utf-8"))
    (only,) = source["datasources"]
    named = {
        target["datasource"]["uid"] for panel in BOARD["panels"] for target in panel["targets"]
    }
    assert named == {only["uid"]}
    assert only["url"] == "http://prometheus:9090"


def test_grafana_finds_source_provider_and_board():
    provider = yaml.safe_load((INFRA / "grafana" / "provider.yaml").read_text("utf-8"))
    mounted = dict(volume.split(":")[:2] for volume in services()["grafana"]["volumes"])
    folder = provider["providers"][0]["options"]["path"]
    assert mounted["./grafana/dashboard.json"].startswith(f"{folder}/")
    assert mounted["./grafana/datasource.yaml"].startswith("/etc/grafana/provisioning/datasources/")
    assert mounted["./grafana/provider.yaml"].startswith("/etc/grafana/provisioning/dashboards/")
