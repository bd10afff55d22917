"""Images that are files of their own stay where they are when shards are merged."""

import pytest

from tasks.compact import compact as module
from tasks.config import Run
from tasks.fit.operators import find_operator
from tasks.fit.select import chosen_images
from tasks.io.errors import StepMissing
from tasks.io.shards import members_of, read_index, read_members
from tasks.upkeep.cleaning.waste import find_waste
from tasks.upkeep.verify import verify

LOOSE = {"alphas": [0, 1], "outputs": "files"}
MERGED = "shard-000003"


@pytest.fixture
def loose(tmp_path, grow):
    """A workspace that grew night by night, with files of images; one is called as a shard is."""
    return grow(tmp_path, ("da", "fb", ("e", "shard-000003")), enhance=LOOSE, fit={"images": 4})


def images(grown):
    """Every enhanced file of the operator in use: its bytes and when it was written."""
    found, own = {}, find_operator(Run.of(grown.config)).name
    for path in sorted((grown.folder / "workspace/enhanced/run" / own).rglob("images/*")):
        found[path] = path.read_bytes(), path.stat().st_mtime_ns
    return found


def indexed(grown, shard):
    """The images of an enhanced shard, read by its indexes, by folder and key."""
    workspace, own = grown.workspace, find_operator(Run.of(grown.config)).name
    found = {}
    for record in workspace.ledger.survey(f"enhanced/run/{own}").of_shards([shard]):
        folder = record.artifact.rpartition("/")[0]
        members = members_of(read_index(workspace.store, f"{record.artifact}.parquet"), folder)
        found |= {(folder, m.key): data for m, data in read_members(workspace.store, members)}
    return found


def require_whole(grown):
    assert grown.missing() == []
    assert not [each for each in verify(grown.workspace.ledger) if each.damage]
    waste = find_waste([grown.config], grown.workspace, keep=9)
    assert (waste.files, waste.notes, waste.doubts) == ([], [], [])


def test_no_image_is_moved_or_written_again(loose):
    before, numbers = images(loose), loose.numbers()
    (told,) = (each for each in loose.compact() if each.dataset == "run")
    assert (told.small, told.merged) == (3, 1)
    assert images(loose) == before
    assert len(before) == 2 * 6
    assert sorted(indexed(loose, MERGED).values()) == sorted(data for data, _ in before.values())
    assert loose.numbers() == numbers
    require_whole(loose)


def described(grown, shard):
    """What index and record of an enhanced shard say, by the folder of its alpha."""
    workspace, found = grown.workspace, {}
    own = f"enhanced/run/{find_operator(Run.of(grown.config)).name}"
    for record in workspace.ledger.survey(own).of_shards([shard]):
        folder = record.artifact.rpartition("/")[0]
        rows = read_index(workspace.store, f"{record.artifact}.parquet").drop(["shard"])
        files = workspace.ledger.facts(record)["files"]
        del files[f"{record.artifact}.parquet"]
        named = {path.removeprefix(folder): facts for path, facts in files.items()}
        found[folder.removeprefix(own)] = (rows.schema.metadata, rows.to_pylist(), named)
    return found


def test_a_merged_shard_is_that_of_a_run_that_had_all_images_at_once(loose, grow, tmp_path):
    loose.compact()
    folder, keys = tmp_path / "scratch", ("a", "b", "d", "e", "f", MERGED)
    scratch = grow(folder, (keys,), enhance=LOOSE, fit={"images": 4})
    merged = described(loose, MERGED)
    assert merged == described(scratch, "shard-000000")
    assert {alpha: len(files) for alpha, (_, _, files) in merged.items()} == {
        "/alpha=+0.00": 6,
        "/alpha=+1.00": 6,
    }


def test_a_compaction_that_is_given_up_leaves_every_image(loose, monkeypatch):
    before = images(loose)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_switch", lambda *_: None)
        loose.compact()  # all merged shards are there, and in no index
    assert [*loose.workspace.ledger.survey("enhanced").of_shards([MERGED])]
    new = loose.folder / "restored" / "g.png"
    new.write_bytes((loose.folder / "restored" / "a.png").read_bytes())
    with pytest.raises(StepMissing, match="must be done before shards are merged"):
        loose.compact()
    assert images(loose) == before
    new.unlink()
    loose.compact()
    assert images(loose) == before
    require_whole(loose)


def test_images_of_a_shard_that_goes_stay_where_another_record_names_them(loose):
    ledger, before = loose.workspace.ledger, images(loose)
    loose.compact()
    (record, *_) = ledger.survey("enhanced").of_shards([MERGED])
    ledger.retire([record])
    gone = before.keys() - images(loose).keys()
    assert len(gone) == 6
    loose.run()
    assert {path: data for path, (data, _) in images(loose).items()} == {
        path: data for path, (data, _) in before.items()
    }
    require_whole(loose)


def test_a_changed_image_touches_its_own_files_alone(loose):
    loose.compact()
    before, folder = images(loose), loose.folder / "restored"
    fitted = chosen_images(Run.of(loose.config)).source[MERGED]
    changed = next(path for path in sorted(folder.iterdir()) if path.stem not in fitted)
    other = next(path for path in sorted(folder.iterdir()) if path.stem in fitted)
    changed.write_bytes(other.read_bytes())
    loose.run()
    after = images(loose)
    assert {path.stem for path in after if after[path][0] != before[path][0]} == {changed.stem}
    assert loose.workspace.shards("run") == {MERGED: 6}
    require_whole(loose)
