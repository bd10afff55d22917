"""How far a backfill in blocks is: shown as an artifact, and told when nothing moves."""

import httpx
import pytest
from prefect.logging import disable_run_logger

from flows.runs import prefect_api
from flows.runs.pool import RunRequest
from flows.steps import block_watch
from flows.steps.block_watch import BlockWatch


@pytest.fixture
def told(monkeypatch):
    """The events that are told."""
    events = []
    monkeypatch.setattr(block_watch, "tell_run", lambda *event: events.append(event))
    with disable_run_logger():
        yield events


@pytest.fixture
def shown(monkeypatch):
    """What the artifact says, one after the other."""
    said = []

    def update(_artifact, progress, *, description):
        said.append((progress, description.rpartition(" in ")[0]))

    monkeypatch.setattr(block_watch, "create_progress_artifact", lambda *_, **__: "artifact")
    monkeypatch.setattr(block_watch, "update_progress_artifact", update)
    return said


@pytest.fixture
def watch(complete, shown):
    return BlockWatch(complete.configure(blocks={"patience_s": 10}))


def block(images):
    return RunRequest("enhance-block", "key", {}, images=images)


def test_images_that_were_done_before_count_and_blocks_that_end_do(watch, shown):
    watch.begin()
    watch.pass_by(3)
    watch.count(block(3))
    watch.finish()
    assert shown == [(75.0, "enhance tiny: 6 of 8 images, 1 blocks")]


def test_looking_again_counts_all_images_again(watch, shown):
    watch.begin()
    watch.count(block(8))
    watch.begin()
    watch.pass_by(8)
    watch.finish()
    assert shown == [(100.0, "enhance tiny: 8 of 8 images, 1 blocks")]


def test_it_is_shown_now_and_then_and_not_for_every_block(watch, shown, monkeypatch):
    for _ in range(50):
        watch.count(block(0))
    assert shown == []
    monkeypatch.setattr(block_watch, "_SECONDS_BETWEEN_UPDATES", 0.0)
    watch.count(block(8))
    assert shown == [(100.0, "enhance tiny: 8 of 8 images, 51 blocks")]


def test_standstill_is_told_once_for_each_time_that_patience_ends(watch, told):
    for seconds in (1, 9.9, 10.1, 15, 19.9, 20.1, 2, 10.1):
        watch.wait(seconds)
    assert told == [
        ("stalled", "tiny", {"step": "enhance tiny", "seconds": seconds})
        for seconds in (10, 20, 10)
    ]


def test_a_server_that_is_away_does_not_end_it(complete, shown, monkeypatch):
    away = iter(range(2))

    def sometimes(real):
        def asked(*args, **options):
            if next(away, None) is not None:
                raise httpx.ConnectError("away")
            return real(*args, **options)

        return asked

    for name in ("create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(block_watch, name, sometimes(getattr(block_watch, name)))
    monkeypatch.setattr(prefect_api, "_PAUSE_S", 0.01)
    BlockWatch(complete.configure()).finish()
    assert len(shown) == 1
