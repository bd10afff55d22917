"""A data set that grew, changed and shrank is the one that a run from scratch makes."""

import io
import tarfile

import pyarrow.dataset
import pytest

from tasks.io.shards import read_members
from tasks.shard.shard import plan_shards

NOISE = {"degrade": [{"kind": "noise", "sigma": 0.1}], "restore": {"kind": "bicubic"}}
OF_PLACES = ("shard", "fingerprint")


@pytest.fixture
def project(tmp_path, steps, write_images, pixels):
    """Runs a configuration over two folders; the operator is fitted on the natural one."""

    def make(workspace="workspace", **sections):
        write_images(tmp_path / "natural", {f"n{i}.png": pixels(100 + i) for i in range(4)})
        corpora = {"reference": tmp_path / "reference", "natural": tmp_path / "natural"}
        return steps(tmp_path / workspace, corpora, **{**NOISE, **sections})

    return make


def metrics(run):
    """Every row of the metrics by key and signal, without where it lies."""
    folder = run.workspace.store.local(f"metrics/run/{run.operator}")
    rows = pyarrow.dataset.dataset(folder).to_table().drop_columns(OF_PLACES).to_pylist()
    found = {(row["key"], row["signal"], row["alpha"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def enhanced(run):
    """Every enhanced image by alpha and name."""
    found = {}
    for path in run.workspace.store.local(f"enhanced/run/{run.operator}").rglob("*.tar"):
        with tarfile.open(path) as archive:
            for info in archive:
                name = (path.parent.name, info.name)
                assert name not in found
                found[name] = archive.extractfile(info).read()
    return found


def copied(run, dataset):
    found = {}
    for shard in run.workspace.shards(dataset):
        members = run.workspace.members(dataset, shard)
        found |= {member.key: data for member, data in read_members(run.workspace.store, members)}
    return found


def test_after_any_changes_images_and_metrics_are_those_of_a_run_from_scratch(
    project, tmp_path, write_images, pixels
):
    limits = {"images": 3, "max_bad_fraction": 0.2}
    folder, grown = tmp_path / "reference", project(shards=limits)
    write_images(folder, {f"{key}.png": pixels(ord(key)) for key in "bdfhjlnp"})
    grown.run()
    write_images(folder, {f"{key}.png": pixels(ord(key)) for key in "aceg"})
    grown.run()
    write_images(folder, {"f.png": pixels(1), "z/k.png": pixels(2), "dd.jpg": b"no image"})
    for key in "bhjln":  # one shard as a whole among them
        (folder / f"{key}.png").unlink()
    summary = grown.run()
    scratch = project("scratch", shards=limits)
    for row, expected in zip(summary, scratch.run(), strict=True):
        numbers = {name for name, value in expected.items() if isinstance(value, float)}
        for name, value in row.items():  # sums over other shards round otherwise
            assert value == (pytest.approx(expected[name]) if name in numbers else expected[name])
    assert grown.operator == scratch.operator
    assert metrics(grown) == metrics(scratch)
    assert enhanced(grown) == enhanced(scratch)
    assert list(grown.workspace.shards("run")) == [
        "shard-000000",
        *(f"shard-{n:06d}" for n in (2, 3, 4, 5)),
    ]


def test_a_changed_resize_redoes_every_shard_and_moves_no_image(
    project, tmp_path, write_images, pixels
):
    folder, run = tmp_path / "reference", project()
    for keys in ("bdfh", "ace"):
        write_images(folder, {f"{key}.png": pixels(ord(key)) for key in keys})
        run.shard()
    places = list(run.workspace.keys("reference"))
    smaller = run.config.corpora.reference.model_copy(update={"resize": 16})
    units = list(plan_shards(run.opened, smaller, "reference"))
    assert all(unit.job is not None for unit in units)
    found = {unit.unit: [file.key for file in unit.job.files] for unit in units}
    assert sorted((key, shard) for shard, keys in found.items() for key in keys) == places
    softer = smaller.model_copy(update={"resize_filter": "bilinear"})
    others = list(plan_shards(run.opened, softer, "reference"))
    assert {unit.fingerprint for unit in units}.isdisjoint(unit.fingerprint for unit in others)
    unused = run.config.corpora.reference.model_copy(update={"resize_filter": "bilinear"})
    assert all(unit.job is None for unit in plan_shards(run.opened, unused, "reference"))


def test_a_limit_lets_the_last_keys_go_when_earlier_ones_come(
    tmp_path, steps, write_images, pixels
):
    folder = write_images(tmp_path / "n", {f"{key}.png": pixels(ord(key)) for key in "bcdefg"})
    corpus = {"path": str(folder), "limit": 5}
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": corpus})
    run.shard()
    assert list(copied(run, "natural")) == list("bcdef")
    write_images(folder, {"a.png": pixels(1)})
    run.shard()
    assert sorted(copied(run, "natural")) == list("abcde")
    assert run.workspace.shards("natural") == {
        "shard-000000": 3,
        "shard-000001": 1,
        "shard-000002": 1,
    }


def test_one_folder_may_have_two_roles(tmp_path, steps, write_images, pixels):
    folder = write_images(tmp_path / "n", {f"{key}.png": pixels(ord(key)) for key in "bdf"})
    run = steps(tmp_path / "workspace", {"reference": folder, "natural": folder}, **NOISE)
    run.run()
    write_images(folder, {"a.png": pixels(1)})
    run.run()
    for name in ("reference", "natural", "run", "run.source"):
        assert run.workspace.shards(name) == {"shard-000000": 3, "shard-000001": 1}
        assert [place.key for place in run.workspace.keys(name)] == list("abdf")


def test_a_shard_of_refused_images_between_others_is_restored_as_an_empty_one(
    project, tmp_path, write_images, pixels
):
    images = {f"{key}.png": pixels(ord(key)) for key in "abcghi"}
    write_images(tmp_path / "reference", images | {f"{key}.png": b"none" for key in "def"})
    run = project(shards={"images": 3, "max_bad_fraction": 0.5})
    run.run()
    assert run.workspace.shards("run") == {"shard-000000": 3, "shard-000002": 3}
    assert sorted(copied(run, "run")) == list("abcghi")
    write_images(tmp_path / "reference", {"d.png": pixels(4), "j.png": pixels(5)})
    run.run()
    assert run.workspace.shards("run") == {
        "shard-000000": 3,
        "shard-000001": 1,
        "shard-000002": 3,
        "shard-000003": 1,
    }
    assert {key for key, *_ in metrics(run)} == set("abcdghij")


def test_a_folder_and_tars_may_take_each_others_place(
    project, tmp_path, write_images, pixels, steps
):
    folder = write_images(tmp_path / "reference", {f"{k}.png": pixels(ord(k)) for k in "abcd"})
    run = project()
    run.shard()
    before = copied(run, "reference")
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            archive.addfile(info, io.BytesIO(path.read_bytes()))
    corpora = {"reference": tmp_path / "one.tar", "natural": tmp_path / "natural"}
    tars = steps(tmp_path / "workspace", corpora, **NOISE)
    tars.shard()
    assert copied(tars, "reference") == before
    (entry,) = tars.workspace.catalogue("reference").shards
    assert (entry.shard, entry.tar) == ("shard-000002", "one.tar")
    run.shard()
    assert copied(run, "reference") == before
    assert {entry.tar for entry in run.workspace.catalogue("reference").shards} == {None}
