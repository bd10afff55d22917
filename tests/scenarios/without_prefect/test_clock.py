"""No decision is made by comparing times: a clock may go backwards between runs, or during one."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from tasks.io.ledger import ledger


@pytest.fixture
def _backwards(monkeypatch):
    """An hour back for every look at the clock."""

    class Backwards(datetime):
        shown = datetime(2030, 1, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz=None):
            cls.shown -= timedelta(hours=1)
            return cls.shown.astimezone(tz)

    monkeypatch.setattr(ledger, "datetime", Backwards)


def contents(run):
    """All files but those that tell when and where they were made."""
    store = run.workspace.store
    told = ("ledger/", "configurations/")
    names = [name for name in store.names("") if not name.startswith(told)]
    return {name: store.read(name) for name in names if not name.endswith((".html", "run.json"))}


@pytest.mark.usefixtures("_backwards")
def test_a_run_under_a_clock_that_goes_backwards_gives_the_same_bytes(
    tmp_path, steps, photographs, finished
):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora)
    run.run()
    assert contents(run) == contents(finished)


def test_an_image_that_was_replaced_by_an_older_one_is_noticed(
    tmp_path, steps, write_images, pixels
):
    folder = write_images(tmp_path / "images", {"a.png": pixels(1), "b.png": pixels(2)})
    run = steps(tmp_path / "workspace", {"natural": folder, "restored": folder})
    run.shard()
    before = run.workspace.shard_index("natural", "shard-000000")["sha256"].to_pylist()
    write_images(folder, {"b.png": pixels(3)})
    os.utime(folder / "b.png", (1, 1))
    run.shard()
    after = run.workspace.shard_index("natural", "shard-000000")["sha256"].to_pylist()
    assert (before[0], before[1] == after[1]) == (after[0], False)
