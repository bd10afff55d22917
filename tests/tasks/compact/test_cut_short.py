"""A compaction that is cut short, or whose corpus changes meanwhile, leaves nothing untrue."""

import re

import pytest

from tasks.compact import compact as module
from tasks.compact import remaining
from tasks.compact.journal import read_journal
from tasks.compact.remaining import numbers_of
from tasks.config import Run
from tasks.fit.operators import fitted
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.store import Store
from tasks.io.workspace import COMPACTING, signals_folder
from tasks.upkeep.forget import forget
from tasks.upkeep.verify import verify


class Cut(Exception):
    """What a compaction is cut short by."""


def cut(grown, monkeypatch, name, calls=0):
    """Have a compaction end where it calls a function for the so-manieth time after the first."""
    real, left = getattr(module, name), iter(range(calls))

    def last(*args):
        if next(left, None) is None:
            raise Cut
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, last)
        with pytest.raises(Cut):
            grown.compact()
    assert grown.workspace.store.exists(COMPACTING)


def test_no_image_is_forgotten_while_merged_shards_may_hold_it(grown, monkeypatch):
    cut(grown, monkeypatch, "keep_operator")
    ledger = grown.workspace.ledger
    assert list(ledger.survey("").of_shards(["shard-000003"]))
    stray = "enhanced/run/0123/alpha=+0.00/shard-000003.tar"
    grown.workspace.store.write(stray, b"what has no record yet")
    with pytest.raises(StepMissing, match="says that one was cut short"):
        forget([grown.config], ["a"], grown.workspace)
    path = grown.folder / "restored" / "b.png"
    path.write_bytes((grown.folder / "restored" / "c.png").read_bytes())
    with pytest.raises(StepMissing, match="all of 'run' must be done"):
        grown.compact()  # takes away what it had made
    assert not [name for name in grown.workspace.store.names("") if "shard-000003" in name]
    forget([grown.config], ["a"], grown.workspace)
    grown.run()
    assert [place.key for place in grown.workspace.keys("run")] == list("bcdef")


def test_names_of_retired_shards_stay_taken_after_an_image_is_forgotten(grown):
    grown.compact()
    forget([grown.config], ["a"], grown.workspace)
    (record,) = grown.workspace.ledger.records("datasets/run/index")
    gone = grown.workspace.ledger.facts(record)["gone"]
    assert gone == ["shard-000000", "shard-000001", "shard-000002"]


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        ("find_layouts", "changed", "a file of them has changed, or is gone"),
        ("find_layouts", "gone", "a file of them has changed, or is gone"),
        ("keep_operator", "gone", "all of 'run' must be done before shards are merged"),
    ],
)
def test_a_file_that_changes_meanwhile_ends_it(grown, monkeypatch, step, change, message):
    path, real = grown.folder / "restored" / "b.png", getattr(module, step)
    image = (grown.folder / "restored" / "c.png").read_bytes()

    def then(*args):
        result = real(*args)
        path.unlink() if change == "gone" else path.write_bytes(image)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, step, then)
        with pytest.raises(StepMissing, match=message):
            grown.compact()
    assert not grown.workspace.store.exists(COMPACTING)
    assert not [name for name in grown.workspace.store.names("") if "shard-000003" in name]
    grown.run()
    grown.compact()
    assert grown.missing() == []
    members = {m.key: m.sha256 for m in grown.workspace.members("run", "shard-000003")}
    assert ("b" not in members) if change == "gone" else (members["b"] == members["c"])


def test_numbers_of_options_that_changed_meanwhile_are_computed_anew(grown, monkeypatch):
    before = grown.numbers()
    cut(grown, monkeypatch, "finish")
    evaluate = grown.config.evaluate.model_copy(update={"leave_out_fitted": False})
    config = grown.config.model_copy(update={"evaluate": evaluate})
    assert config != grown.config
    other = type(grown)(grown.folder, config)
    other.compact()
    assert other.missing() == []
    numbers = other.numbers()
    assert numbers != before
    folder = signals_folder("run", fitted(Run.of(config)).results)
    assert any(name.startswith(folder) for name in numbers_of(config, grown.workspace))
    ledger = grown.workspace.ledger
    ledger.withdraw(list(ledger.survey(folder.rpartition("/")[0]).all()))
    other.run()
    assert other.numbers() == numbers


def test_numbers_without_a_record_are_copied_while_their_files_are_whole(grown, monkeypatch):
    cut(grown, monkeypatch, "finish")
    ledger, numbers = grown.workspace.ledger, read_journal(grown.workspace.store).copied
    for artifact in numbers:  # as a kill leaves them that falls between one record and the next
        ledger.withdraw(ledger.records(artifact))
    *whole, other = sorted(numbers)
    for path in numbers[other].body["files"]:
        grown.workspace.store.write(path, b"what another run was writing")
    made, real = [], remaining._WORKS[remaining.FidelityJob]
    with monkeypatch.context() as patch:
        works = {remaining.FidelityJob: lambda job: made.append(job.target.artifact) or real(job)}
        patch.setattr(remaining, "_WORKS", remaining._WORKS | works)
        grown.compact()
    assert made == [other]
    assert grown.missing() == []
    digests = {each: ledger.records(each)[0].digest for each in whole}
    assert digests == {each: numbers[each].digest for each in whole}
    assert not [each for each in verify(ledger) if each.damage]


@pytest.mark.parametrize("night", ["", "g"])
def test_files_that_a_killed_removal_leaves_go_with_the_next(grown, monkeypatch, add_images, night):
    remove = Store.remove

    def stopped(store, path):
        if path.startswith("enhanced/") and path.endswith("/shard-000001.tar"):
            raise Cut
        remove(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", stopped)
        with pytest.raises(Cut):
            grown.compact()
    store = grown.workspace.store
    assert [name for name in store.names("enhanced") if name.endswith("/shard-000001.tar")]
    add_images(grown.folder, night)
    grown.run()  # which removes what has a record
    grown.compact()
    assert grown.missing() == []
    assert not [name for name in store.names("") if "/shard-000001" in name]


def test_it_is_ended_where_the_workspace_has_been_moved_to(grown, monkeypatch, tmp_path):
    cut(grown, monkeypatch, "settle", calls=1)
    old, new = grown.folder / "workspace", tmp_path / "moved"
    old.rename(new)
    moved = type(grown)(grown.folder, grown.config.model_copy(update={"workspace": str(new)}))
    try:
        moved.compact()
        moved.run()
        assert not old.exists()
        assert moved.missing() == []
        assert moved.workspace.shards("run") == {"shard-000003": 6}
        assert not [each for each in verify(moved.workspace.ledger) if each.damage]
    finally:
        old.mkdir(exist_ok=True)


@pytest.mark.parametrize("kind", ["datasets/run", "metrics/run/{}", "reports/run/{}"])
def test_damage_is_not_copied(grown, kind):
    store, results = grown.workspace.store, fitted(Run.of(grown.config)).results
    records = grown.workspace.ledger.survey(kind.format(results)).all()
    paths = (path for each in records for path in grown.workspace.ledger.facts(each)["files"])
    of_shards = ("/shard-000001.tar", "/shard-000001.parquet", "/fidelity.parquet")
    path = next(path for path in sorted(paths) if path.endswith(of_shards))
    data = bytearray(store.read(path))
    data[-1] ^= 1
    store.write(path, bytes(data))
    with pytest.raises(ArtifactDamaged, match=re.escape(f"{path} must be as it was")):
        grown.compact()
