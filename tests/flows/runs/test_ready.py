"""Runs that workers do are checked before their first shard, and say the same as the command."""

from types import SimpleNamespace

import pytest

from flows import backfill_in_blocks as conductor
from flows.backfill import backfill
from flows.backfill_in_blocks import backfill_in_blocks
from flows.runs import ready
from flows.runs.ready import require_ready_on_worker
from tasks.io.errors import ConfigurationError
from tasks.upkeep import check, check_networks
from tasks.upkeep.check import require_ready


@pytest.fixture
def on_worker(monkeypatch):
    """Runs are those of a deployment, as a worker begins them."""
    monkeypatch.setattr(ready, "deployment", SimpleNamespace(get_id=lambda: "an id"))


@pytest.fixture
def unready(project, draw):
    """A configuration that would fail in two ways, each of them at another step."""
    draw(project.folder / "restored" / "of_no_reference.png", 1)
    tree = {"restored": {"path": "restored"}, "reference": {"path": "reference"}}
    corpora = tree | {"natural": {"path": "nowhere"}}
    return project.configure(corpora=corpora, degrade=[], restore=None)


@pytest.fixture
def said(unready):
    """What the command says of it."""
    with pytest.raises(ConfigurationError) as refusal:
        require_ready(unready)
    assert str(refusal.value).startswith("2 things must be mended before a run:")
    return str(refusal.value)


def test_a_worker_refuses_with_the_sentences_of_the_command_before_any_shard(
    server, project, unready, said, on_worker
):
    with pytest.raises(ConfigurationError) as refusal:
        backfill(unready)
    assert str(refusal.value) == said
    assert not list(project.workspace.glob("datasets/*"))


def test_so_does_a_conductor_and_it_asks_for_no_run(server, unready, said, on_worker, monkeypatch):
    monkeypatch.setattr(conductor, "WorkPoolRuns", _Pool)
    monkeypatch.setattr(conductor, "is_finished", lambda *_: False)
    with pytest.raises(ConfigurationError) as refusal:
        backfill_in_blocks(unready)
    assert str(refusal.value) == said


class _Pool:
    """A pool that takes no runs."""

    def __init__(self, *_):
        pass

    def watch(self, runs):
        assert runs == []


def test_a_run_of_the_command_itself_is_not_checked_again(unready, server):
    require_ready_on_worker(unready)


def test_a_conductor_looks_for_the_codec_and_does_not_load_it(project, monkeypatch):
    asked = []
    monkeypatch.setattr(check_networks, "load_codec", lambda *_: asked.append("load"))
    monkeypatch.setattr(
        check_networks, "locate_codec", lambda *_: asked.append("locate") or ("", "")
    )
    monkeypatch.setattr(check, "large_patches", lambda _: None)
    codec = {"kind": "autoencoder-tiny", "weights": str(project.folder)}
    config = project.configure()
    config = type(config).model_validate({**config.model_dump(), "codec": codec})
    list(check.check(config, runs_networks=False))
    list(check.check(config))
    assert asked == ["locate", "load"]
