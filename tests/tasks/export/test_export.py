"""Exports: plain files under the input's names; ours are kept in step, others never touched."""

import io
import json
import shutil
import tarfile

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tasks.export.export import write_exported
from tasks.export.manifest import MANIFEST
from tasks.export.plan import Export, alpha_to_export, form_to_export, format_of
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.store import Store


def export(steps, destination, alpha=0.0, file_format=None):
    """Do an export by plain functions; returns the names of the shards that were written."""
    form = form_to_export(steps.config, file_format)
    planned = Export(steps.fitted, str(destination), alpha, form)
    units = planned.units()
    if planned.is_done(units):
        return []
    planned.prepare(units)
    jobs = [unit.job for unit in units if unit.job is not None]
    for job in jobs:
        write_exported(job)
    planned.finish()
    return [job.shard for job in jobs]


def files(folder):
    """All files below a folder but the manifest, with their bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and MANIFEST not in path.parts
    }


def tarred(steps, alpha):
    """The enhanced images in the workspace's tars, by the paths of their files."""
    folder = steps.workspace.store.local(f"enhanced/run/{steps.operator}/alpha={alpha:+.2f}")
    found = {}
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            found |= {m.name: tar.extractfile(m).read() for m in tar}
    return found


NAMES = ["a/0.png", "a/1.jpg", "b/2.PNG", "b/c/3.png", "4.png"]


def enhanced(steps, folder, workspace="w", **options):
    """A run over the images of a folder as far as an export needs it, written as PNG."""
    corpora = {role: folder / role for role in ("natural", "restored")}
    run = steps(
        folder / workspace, corpora, enhance={"format": "png", **options}, fit={"images": 5}
    )
    go_on(run)
    return run


def go_on(run):
    run.shard()
    run.fit()
    run.enhance()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, steps, write_images, pixels, softened):
    """Five natural and restored images in folders, and a workspace where they are enhanced."""
    folder = tmp_path_factory.mktemp("export")
    clean = {name: pixels(i) for i, name in enumerate(NAMES)}
    write_images(folder / "natural", clean)
    write_images(folder / "restored", {name: softened(image) for name, image in clean.items()})
    enhanced(steps, folder)
    return folder


@pytest.fixture
def made(folder, steps):
    """The run over these images; to read."""
    return enhanced(steps, folder)


@pytest.fixture
def changing(folder, steps, tmp_path):
    """A copy of the images, whose run may change."""
    for role in ("natural", "restored"):
        shutil.copytree(folder / role, tmp_path / role)
    return enhanced(steps, tmp_path)


def test_files_have_the_names_of_the_input_and_the_bytes_of_the_tars(made, tmp_path):
    out = tmp_path / "out"
    assert export(made, out) == ["shard-000000", "shard-000001"]
    found = files(out)
    assert set(found) == {"a/0.png", "a/1.png", "b/2.PNG", "b/c/3.png", "4.png"}
    assert {name.lower(): data for name, data in found.items()} == tarred(made, 0.0)
    with Image.open(io.BytesIO(found["a/0.png"])) as image:
        assert image.size == (32, 24)
    assert not (out / ".partial").exists()


def test_the_second_time_nothing_is_written(made, tmp_path):
    out = tmp_path / "out"
    export(made, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert export(made, out) == []
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_manifest_tells_what_lies_there(made, tmp_path):
    out = tmp_path / "out"
    export(made, out, 0.5)
    about = json.loads((out / MANIFEST / "export.json").read_text())
    assert (about["dataset"], about["alpha"], about["format"]) == ("run", 0.5, "png")
    assert about["operator"] == made.operator
    shards = [json.loads(path.read_text()) for path in (out / MANIFEST).glob("shard-*=*.json")]
    listed = {name: facts for shard in shards for name, facts in shard["files"].items()}
    assert set(listed) == set(files(out))
    assert all(len(files(out)[name]) == facts["size"] for name, facts in listed.items())


def test_another_alpha_takes_the_place_of_the_first(made, tmp_path):
    out = tmp_path / "out"
    export(made, out, 0.0)
    export(made, out, 0.5)
    assert sorted(files(out).values()) == sorted(tarred(made, 0.5).values())


def test_alpha_1_is_the_input(made, folder, tmp_path):
    export(made, tmp_path / "out", 1.0)
    for name in ("a/0.png", "b/c/3.png"):
        written, given = (Image.open(f / name) for f in (tmp_path / "out", folder / "restored"))
        np.testing.assert_array_equal(np.asarray(written), np.asarray(given))


def test_an_export_that_was_killed_goes_on(made, tmp_path, monkeypatch):
    out, written = tmp_path / "out", []
    real = Store.write

    def dying(store, path, data):
        if MANIFEST not in path and len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        real(store, path, data)

    monkeypatch.setattr(Store, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        export(made, out)
    monkeypatch.undo()
    made_before = set(files(out))
    assert export(made, out) == ["shard-000000", "shard-000001"]
    assert len(files(out)) == 5
    assert made_before < set(files(out))


def test_what_a_killed_export_wrote_otherwise_is_replaced(made, tmp_path):
    out = tmp_path / "out"
    planned = Export(made.fitted, str(out), 0.0)
    units = planned.units()
    planned.prepare(units)
    write_exported(units[0].job)  # and no more
    assert export(made, out, 0.5) == ["shard-000000", "shard-000001"]
    assert sorted(files(out).values()) == sorted(tarred(made, 0.5).values())


def test_a_removed_image_is_removed_and_a_renamed_one_moves(changing, tmp_path):
    out, restored = tmp_path / "out", tmp_path / "restored"
    export(changing, out)
    (restored / "a" / "0.png").unlink()
    (restored / "4.png").rename(restored / "a" / "5.png")
    go_on(changing)
    export(changing, out)
    assert set(files(out)) == {"a/1.png", "b/2.PNG", "b/c/3.png", "a/5.png"}


def test_an_image_that_moved_is_not_lost_where_its_former_shard_was_not_written(
    changing, steps, tmp_path
):
    out = tmp_path / "out"
    export(changing, out)
    shutil.rmtree(tmp_path / "w")
    corpora = {role: tmp_path / role for role in ("natural", "restored")}
    again = steps(
        tmp_path / "w",
        corpora,
        enhance={"format": "png"},
        fit={"images": 5},
        shards={"images": 2},
    )
    go_on(again)
    planned = Export(again.fitted, str(out), 0.0)
    units = planned.units()
    planned.prepare(units)
    for unit in units[1:]:  # not the first, which had some of their images
        write_exported(unit.job)
    export(again, out)
    assert len(files(out)) == 5
    assert sorted(files(out).values()) == sorted(tarred(again, 0.0).values())


def test_another_format_leaves_no_file_of_the_first(made, folder, tmp_path, steps):
    out = tmp_path / "out"
    export(made, out)
    export(enhanced(steps, folder, format="webp"), out)
    assert set(files(out)) == {"a/0.webp", "a/1.webp", "b/2.webp", "b/c/3.webp", "4.webp"}


def test_a_file_that_nobody_here_wrote_is_not_replaced(made, tmp_path):
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "0.png").write_bytes(b"an original")
    (out / "notes.txt").write_text("keep me")
    with pytest.raises(ConfigurationError, match=r"no export wrote must not be replaced, got 'a/0"):
        export(made, out)
    assert (out / "a" / "0.png").read_bytes() == b"an original"
    (out / "a" / "0.png").unlink()
    export(made, out)
    assert (out / "notes.txt").read_text() == "keep me"


def test_a_file_that_somebody_put_in_the_place_of_ours_is_not_removed(changing, tmp_path):
    out = tmp_path / "out"
    export(changing, out)
    (out / "a" / "0.png").write_bytes(b"another")
    (tmp_path / "restored" / "a" / "0.png").unlink()
    go_on(changing)
    export(changing, out)
    assert (out / "a" / "0.png").read_bytes() == b"another"


@pytest.mark.parametrize("place", ["restored", "restored/out", "natural/x", "", "w", "w/out"])
def test_an_export_lies_apart_from_the_input_and_the_workspace(made, folder, place):
    with pytest.raises(ConfigurationError, match="the folder to write to must lie"):
        export(made, folder / place)


def test_two_workspaces_do_not_share_a_destination(made, folder, tmp_path, steps):
    export(made, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="must not hold another export"):
        export(enhanced(steps, folder, "w2"), tmp_path / "out")


def test_what_is_not_enhanced_is_not_exported(made, tmp_path, steps):
    options = made.config.enhance.model_copy(update={"alphas": (0.25,)})
    other = type(made)(made.config.model_copy(update={"enhance": options}))
    with pytest.raises(StepMissing, match=r"enhanced at alpha 0.25 .* run `dotpipe run CONFIG`"):
        export(other, tmp_path / "out", 0.25)


def test_the_only_alpha_need_not_be_named_and_others_must_be_written(steps, photographs):
    several = steps("/w", photographs).config
    one = steps("/w", photographs, enhance={"alphas": [0.25]}).config
    assert alpha_to_export(one, None) == 0.25
    assert alpha_to_export(several, 0.5) == 0.5
    with pytest.raises(ConfigurationError, match=r"got none of 0, 0.5, 1; give --alpha"):
        alpha_to_export(several, None)
    with pytest.raises(ConfigurationError, match=r"got 0.3 of 0, 0.5, 1; add it there"):
        alpha_to_export(several, 0.3)


def test_restored_images_that_were_made_are_named_as_the_clean_ones(
    tmp_path, steps, write_images, pixels
):
    names = ["x/0.v1.png", "1.png", "2.jpg", "3.png"]
    clean = write_images(tmp_path / "clean", {name: pixels(i) for i, name in enumerate(names)})
    run = steps(
        tmp_path / "w",
        {"reference": clean},
        degrade=[{"kind": "noise", "sigma": 0.1}],
        restore={"kind": "non-local-means"},
        enhance={"format": "png", "alphas": [0]},
    )
    go_on(run)
    export(run, tmp_path / "out")
    assert set(files(tmp_path / "out")) == {"x/0.v1.png", "1.png", "2.png", "3.png"}


def test_an_export_goes_to_a_bucket_and_is_resumed_there(made, bucket):
    out = f"s3://{bucket.name}/out"
    assert export(made, out) == ["shard-000000", "shard-000001"]
    found = {entry.path for entry in Store(out).list("")}
    assert found == {"a/0.png", "a/1.png", "b/2.PNG", "b/c/3.png", "4.png"}
    assert export(made, out) == []


ENDINGS = {"tiff": "tif", "jpeg": "jpg", "webp": "webp", "jxl": "jxl", "avif": "avif"}


@pytest.mark.parametrize("file_format", ENDINGS)
def test_another_format_is_encoded_from_the_tars(made, tmp_path, file_format):
    out, plain = tmp_path / "out", tmp_path / "plain"
    export(made, plain)
    assert export(made, out, file_format=file_format) == ["shard-000000", "shard-000001"]
    found, ending = files(out), ENDINGS[file_format]
    names = {"a/0", "a/1", "b/2", "b/c/3", "4"}
    assert set(found) == {f"{name}.{ending}" for name in names}
    for name, data in files(plain).items():
        levels = np.asarray(Image.open(io.BytesIO(data)))
        again = found[f"{name.rpartition('.')[0]}.{ending}"]
        if file_format == "jxl":
            np.testing.assert_array_equal(imagecodecs.jpegxl_decode(again), levels)
            continue
        with Image.open(io.BytesIO(again)) as image:
            assert image.format.lower() == file_format
            difference = np.abs(np.asarray(image).astype(int) - levels)
        assert difference.mean() < 6 if file_format in ("jpeg", "avif") else not difference.any()
    about = json.loads((out / MANIFEST / "export.json").read_text())
    assert about["format"] == file_format


def test_keep_gives_back_the_formats_and_names_of_the_input(made, tmp_path):
    export(made, tmp_path / "out", file_format="keep")
    found = files(tmp_path / "out")
    assert set(found) == set(NAMES)
    kinds = {name: Image.open(io.BytesIO(data)).format for name, data in found.items()}
    assert kinds == {name: "JPEG" if name == "a/1.jpg" else "PNG" for name in NAMES}


def test_the_second_time_nothing_is_encoded_in_another_format(made, tmp_path):
    export(made, tmp_path / "out", file_format="tiff")
    assert export(made, tmp_path / "out", file_format="tiff") == []
    assert export(made, tmp_path / "out", file_format="jpeg") == ["shard-000000", "shard-000001"]
    assert {name.rpartition(".")[2] for name in files(tmp_path / "out")} == {"jpg"}


def test_an_export_in_another_format_that_was_killed_goes_on(made, tmp_path, monkeypatch):
    out, written = tmp_path / "out", []
    real = Store.write

    def dying(store, path, data):
        if MANIFEST not in path and len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        real(store, path, data)

    monkeypatch.setattr(Store, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        export(made, out, file_format="tiff")
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.tif")}
    assert before
    export(made, out, file_format="tiff")
    assert len(files(out)) == 5
    assert {path: path.stat().st_mtime_ns for path in before} == before
    export(made, out, file_format="jpeg")  # what was begun is known as ours, and goes
    assert not list(out.rglob("*.tif"))


def test_a_file_of_somebody_else_is_not_replaced_by_one_of_another_format(made, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "4.tif").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="that no export wrote must not be replaced"):
        export(made, tmp_path / "out", file_format="tiff")
    assert (tmp_path / "out" / "4.tif").read_bytes() == b"mine"


def test_lossy_tars_are_exported_in_no_other_format(steps, folder, tmp_path):
    run = enhanced(steps, folder, workspace="lossy", format="jpeg")
    with pytest.raises(ConfigurationError, match="where that may lose something, got png of jpeg"):
        export(run, tmp_path / "out", file_format="png")
    assert export(run, tmp_path / "out", file_format="jpeg") == ["shard-000000", "shard-000001"]


def test_each_image_of_kept_formats_has_its_own_ending(steps, folder, tmp_path):
    run = enhanced(steps, folder, workspace="kept", format="keep")
    export(run, tmp_path / "out")
    found = files(tmp_path / "out")
    assert set(found) == set(NAMES)
    assert Image.open(io.BytesIO(found["a/1.jpg"])).format == "JPEG"


def test_a_format_that_there_is_not_is_said():
    with pytest.raises(ConfigurationError, match=r"--format must be one of .* 'gif'"):
        format_of("gif")
