"""Assets: Prefect Cloud is told what was made and of what; other servers are told nothing."""

import prefect.events
import pytest
from prefect import flow
from prefect.client.base import ServerType

from flows.backfill import backfill
from flows.runs import assets
from tasks.config import Config, Run


@pytest.fixture
def told(server, monkeypatch):
    """What is emitted about assets, with their events, keys, sources and facts; as in the Cloud."""
    sent, emit = [], prefect.events.emit_event

    def record(event, resource, related=None, payload=None, **more):
        if event.startswith("prefect.asset."):
            sources = {each["prefect.resource.id"] for each in related or ()}
            sent.append((event, resource, sources, payload))
        return emit(event, resource, related=related, payload=payload, **more)

    monkeypatch.setattr(prefect.events, "emit_event", record)
    monkeypatch.setattr(assets, "determine_server_type", lambda: ServerType.CLOUD)
    return sent


def materialised(told):
    """The assets that were made, by key below the workspace, with their sources there and facts."""

    def below(key):
        return key.partition("/workspace/")[2] or key

    return {
        below(resource["prefect.resource.id"]): ({below(each) for each in sources}, facts)
        for event, resource, sources, facts in told
        if event == "prefect.asset.materialization.succeeded"
    }


@pytest.fixture
def made(told, project):
    """What the first run of a configuration tells."""
    backfill(project.configure())
    return materialised(told)


def test_what_a_run_has_made_is_told_with_what_it_was_made_of(made, told, project):
    (operator,) = [key for key in made if key.startswith("operators/")]
    name = operator.rpartition("/")[2].removesuffix(".safetensors")
    index = "datasets/{}/index.parquet".format
    enhanced = {f"enhanced/tiny/{name}/alpha=+{alpha}" for alpha in ("0.00", "0.50")}
    by = "dot-pipeline"
    sources = {key: found for key, (found, _) in made.items()}
    assert sources == {
        index("natural"): {by},
        index("reference"): {by},
        index("tiny"): {by, index("reference")},
        index("tiny.source"): {by, index("natural")},
        operator: {by, index("tiny.source"), index("natural")},
        **{key: {by, operator, index("tiny")} for key in enhanced},
        f"reports/tiny/{name}/report.html": {by, *enhanced},
    }
    assert made[index("tiny")][1]["shards"] == 3
    assert made[operator][1] == {"operator": name, "configuration": "tiny"}
    for key in made:
        assert (project.workspace / key).exists()

    told.clear()
    backfill(project.configure())  # nothing is left to do
    assert told == []
    backfill(project.configure(enhance={"alphas": [0, 0.5, 0.25]}))
    again = {key.split("/")[0] for key in materialised(told)}
    assert again == {"enhanced", "reports"}


@flow
def tells_of_a_data_set(workspace):
    tree = {"corpora": {"reference": {"path": "clean"}, "restored": {"path": "restored"}}}
    run = Run.of(Config.model_validate({"name": "small", "workspace": str(workspace), **tree}))
    assets.tell_data_sets(run, {"reference": {"shards": 1}})


def test_a_server_of_ones_own_is_told_nothing(told, tmp_path, monkeypatch):
    tells_of_a_data_set(tmp_path)
    assert len(told) == 1
    monkeypatch.setattr(assets, "determine_server_type", lambda: ServerType.SERVER)
    tells_of_a_data_set(tmp_path)
    assert len(told) == 1


def test_a_name_that_prefect_does_not_take_harms_no_run(told, tmp_path, caplog):
    tells_of_a_data_set(tmp_path / "a folder")
    assert told == []
    assert "Prefect takes no such name" in caplog.text
