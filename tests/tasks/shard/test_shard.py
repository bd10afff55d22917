"""Sharding a corpus: bytes kept, bad input refused by the row, nothing lost."""

import io
import os
import shutil
import tarfile
from functools import partial

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.io.errors import AccessRefused, CorpusError, StepMissing, TooManyBadImages
from tasks.io.shards import read_members
from tasks.io.store import Store
from tasks.shard.corpus import list_images
from tasks.shard.shard import count_images, plan_shards
from tasks.upkeep.status import status_of_steps


@pytest.fixture
def sharded(tmp_path, steps, write_images):
    """Shards a folder with these files as the natural corpus of a run."""

    def shard(images, **sections):
        write_images(tmp_path / "natural", images)
        write_images(tmp_path / "restored", {"a.png": np.zeros((8, 8, 3), np.uint8)})
        corpora = {"restored": tmp_path / "restored", "natural": tmp_path / "natural"}
        corpora |= sections.pop("corpora", {})
        sections.setdefault("shards", {"images": 3, "max_bad_fraction": 1})
        run = steps(tmp_path / "workspace", corpora, **sections)
        run.outcomes = run.shard()
        return run

    return shard


@pytest.fixture
def png(pixels):
    """Draws the bytes of a small PNG file."""

    def draw(seed, height=12, width=14):
        out = io.BytesIO()
        Image.fromarray(pixels(seed, height, width)).save(out, "PNG")
        return out.getvalue()

    return draw


def rows(run, dataset="natural"):
    return pq.read_table(run.workspace.store.local(f"datasets/{dataset}/index.parquet")).to_pylist()


def reasons(run):
    return {row["source"]: row["reason"] for row in rows(run) if row["status"] == "refused"}


def members(run, shard="shard-000000", dataset="natural"):
    with tarfile.open(run.workspace.store.local(f"datasets/{dataset}/{shard}.tar")) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive.getmembers()}


def test_files_are_copied_byte_by_byte_in_the_order_of_their_keys(sharded, png):
    files = {"b/2.png": png(1), "b/10.png": png(2), "a.png": png(3), "c.webp": png(4)}
    run = sharded(files)
    assert [row["key"] for row in rows(run)] == ["a", "b/10", "b/2", "c"]
    copied = members(run) | members(run, "shard-000001")
    assert copied == {
        "a.png": files["a.png"],
        "b/10.png": files["b/10.png"],
        "b/2.png": files["b/2.png"],
        "c.png": files["c.webp"],
    }


def test_the_index_has_a_row_group_a_shard(sharded, png):
    run = sharded({f"{i}.png": png(i) for i in range(7)})
    index = pq.ParquetFile(run.workspace.store.local("datasets/natural/index.parquet"))
    assert [index.metadata.row_group(i).num_rows for i in range(index.num_row_groups)] == [3, 3, 1]
    assert [entry[:4] for entry in run.workspace.catalogue("natural").shards] == [
        ("shard-000000", 0, 3, 3),
        ("shard-000001", 1, 3, 3),
        ("shard-000002", 2, 1, 1),
    ]
    assert run.workspace.shards("natural") == {
        "shard-000000": 3,
        "shard-000001": 3,
        "shard-000002": 1,
    }


def test_bad_files_are_rows_with_reasons_and_counted_by_kind(sharded, png):
    out = io.BytesIO()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    run = sharded(
        {
            "a-good.png": png(0),
            "animated.png": out.getvalue(),
            "empty.jpg": b"",
            "large.png": png(1, 40, 40),
            "notes.txt": b"not offered at all",
            "text.jpg": b"a text file named .jpg",
            "truncated.png": png(2)[:20],
            "z-good.png": png(3),
        },
        shards={"images": 3, "max_bad_fraction": 1, "max_pixels": 1000},
    )
    found = reasons(run)
    assert set(found) == {"animated.png", "empty.jpg", "large.png", "text.jpg", "truncated.png"}
    assert found["large.png"] == "too many pixels: 40×40, limit 1000"
    assert run.outcomes["natural"].images == 7
    assert run.outcomes["natural"].refused == {
        "animated or of several pages": 1,
        "damaged": 1,
        "empty file": 1,
        "no image in one of the formats JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL": 1,
        "too many pixels": 1,
    }
    assert [key for key, _ in run.workspace.keys("natural")] == ["a-good", "z-good"]


def test_a_file_of_too_many_bytes_is_not_even_read(sharded, png, monkeypatch):
    read = Store.read

    def watched(self, path):
        assert path != "b.png"
        return read(self, path)

    monkeypatch.setattr(Store, "read", watched)
    limits = {"images": 3, "max_bad_fraction": 1, "max_bytes": 5000}
    run = sharded({"a.png": png(0), "b.png": b"x" * 5001}, shards=limits)
    assert reasons(run) == {"b.png": "file too large: 5001 bytes, limit 5000"}


def test_of_two_keys_that_differ_only_in_extension_the_second_is_refused(sharded, png):
    run = sharded({"a.jpg": png(0), "a.png": png(1), "a-.png": png(2)})
    assert reasons(run) == {
        "a.png": "key taken: another file differs only in extension; rename one"
    }
    assert list(members(run)) == ["a.png", "a-.png"]


def test_hidden_files_and_folders_are_left_out(sharded, png):
    run = sharded({"a.png": png(0), ".b.png": png(1), ".trash/c.png": png(2)})
    assert [row["key"] for row in rows(run)] == ["a"]


def test_extensions_count_in_any_case(sharded, png):
    run = sharded({"a.PNG": png(0), "b.JpEg": png(1)})
    assert [row["key"] for row in rows(run)] == ["a", "b"]


def test_a_name_that_is_no_utf_8_is_refused_and_printable(tmp_path, sharded, png):
    os.makedirs(tmp_path / "natural")  # noqa: PTH103  # beside the bytes below
    with open(os.fsencode(tmp_path / "natural") + b"/b\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(png(0))
    run = sharded({"a.png": png(0), "c.png": png(1)})
    assert reasons(run) == {"b\\xff.png": "name is not UTF-8: rename the file"}
    assert list(members(run)) == ["a.png", "c.png"]


def test_a_corpus_without_images_is_told_with_the_endings_that_count(sharded):
    with pytest.raises(CorpusError, match=r"natural must hold at least one image, got none below"):
        sharded({"readme.txt": b"no image"})


@pytest.mark.parametrize("path", ["absent", "restored/a.png"])
def test_a_corpus_that_is_no_folder_is_told(sharded, png, tmp_path, path):
    with pytest.raises(CorpusError, match="corpus must be a folder, got"):
        sharded({"a.png": png(0)}, corpora={"natural": tmp_path / path})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (AccessRefused("b.png was refused"), "Permission denied"),
        (FileNotFoundError("bucket/b.png"), "FileNotFoundError"),
    ],
)
def test_a_file_that_vanishes_or_may_not_be_read_is_a_row(sharded, png, monkeypatch, error, reason):
    read = Store.read_slices

    def failing(self, path, slices):
        if path == "b.png":
            raise error
        return read(self, path, slices)

    monkeypatch.setattr(Store, "read_slices", failing)
    run = sharded({"a.png": png(0), "b.png": png(1), "c.png": png(2)})
    assert reasons(run) == {"b.png": f"unreadable: {reason}"}
    assert list(members(run)) == ["a.png", "c.png"]


@pytest.fixture
def locked(sharded, png, monkeypatch):
    """A run over four files of which b and d could not be read; gives the set of such names.

    Rights change neither the size nor the time of a file.
    """
    read, names = Store.read_slices, {"b.png", "d.png"}

    def failing(self, path, slices):
        if path in names:
            raise PermissionError(13, "Permission denied", path)
        return read(self, path, slices)

    monkeypatch.setattr(Store, "read_slices", failing)
    files = {f"{name}.png": png(seed) for seed, name in enumerate("abcdef")}
    return sharded(files, shards={"images": 3, "max_bad_fraction": 0.5}), names


def test_files_that_can_be_read_again_are_taken_in_by_the_next_run(locked):
    run, names = locked
    assert reasons(run) == dict.fromkeys(("b.png", "d.png"), "unreadable: Permission denied")
    names.remove("b.png")
    stale = next(step for step in status_of_steps(run.config) if step.name == "shard natural")
    assert (stale.done, stale.stale) == (1, 1)
    assert stale.reasons == {"files can be read that could not": 1}
    run.shard()
    assert reasons(run) == {"d.png": "unreadable: Permission denied"}
    assert list(members(run)) == ["a.png", "b.png", "c.png"]


def test_files_that_still_cannot_be_read_redo_nothing(locked):
    run, names = locked
    assert run.shard()["natural"] is None
    names.clear()
    run.shard()
    assert reasons(run) == {}
    names.update(("a.png", "b.png"))  # what is held already stays
    assert run.shard()["natural"] is None


def test_a_disk_error_fails_the_shard_and_leaves_nothing_of_it(sharded, png, monkeypatch, tmp_path):
    read = Store.read_slices

    def failing(self, path, slices):
        if path == "b.png":
            raise OSError(5, "Input/output error")
        return read(self, path, slices)

    monkeypatch.setattr(Store, "read_slices", failing)
    with pytest.raises(OSError, match="Input/output error"):
        sharded({"a.png": png(0), "b.png": png(1)})
    left = [path for path in (tmp_path / "workspace").rglob("*") if path.is_file()]
    assert not [path for path in left if "natural" in path.parts]


def test_too_many_bad_images_stop_the_run_and_tell_which_kinds(sharded, png):
    files = {"a.png": png(0), "b.png": b"", "c.jpg": b"text", "d.png": png(1)}
    with pytest.raises(TooManyBadImages) as caught:
        sharded(files, shards={"images": 3, "max_bad_fraction": 0.4})
    text = str(caught.value)
    assert "at most 40.0% of natural may be refused, got 2 of 4" in text
    assert "1 × empty file" in text
    assert "shards.max_bad_fraction sets the limit" in text


def test_as_many_bad_images_as_allowed_do_not_stop_the_run(sharded, png):
    files = {"a.png": png(0), "b.png": b""}
    run = sharded(files, shards={"images": 3, "max_bad_fraction": 0.5})
    assert run.outcomes["natural"].refused == {"empty file": 1}


def test_a_second_run_has_nothing_to_do(sharded, png):
    run = sharded({f"{i}.png": png(i) for i in range(4)})
    corpus = run.config.corpora.natural
    units = list(plan_shards(run.opened, corpus, "natural"))
    assert [(unit.images, unit.job) for unit in units] == [(3, None), (1, None)]
    assert run.shard()["natural"] is None


def test_a_changed_file_redoes_its_shard_only(sharded, png, tmp_path):
    run = sharded({f"{i}.png": png(i) for i in range(6)})
    (tmp_path / "natural" / "4.png").write_bytes(png(40))
    corpus = run.config.corpora.natural
    units = list(plan_shards(run.opened, corpus, "natural"))
    assert [unit.job and unit.job.shard for unit in units] == [None, "shard-000001"]
    assert units[1].job.target.replaces


def test_a_corpus_that_shrinks_retires_its_last_shards(sharded, png, tmp_path):
    run = sharded({f"{i}.png": png(i) for i in range(7)})
    for name in ("5.png", "6.png", "4.png", "3.png"):
        (tmp_path / "natural" / name).unlink()
    run.shard()
    assert list(run.workspace.shards("natural")) == ["shard-000000"]
    folder = run.workspace.store.local("datasets/natural")
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.parquet",
        "shard-000000.idx",
        "shard-000000.parquet",
        "shard-000000.tar",
        "shards.parquet",
    ]
    survey = run.workspace.ledger.survey("datasets/natural")
    assert survey.artifacts() == ["datasets/natural/index", "datasets/natural/shard-000000"]


def test_images_are_counted_as_they_are_listed_until_it_is_told_to_stop(
    sharded, png, tmp_path, monkeypatch
):
    run = sharded({f"{number}.png": png(number) for number in range(5)} | {"x.txt": b"none"})
    corpus = run.config.corpora.natural
    counted = partial(count_images, run.opened)
    assert counted(corpus, lambda: False) == 5
    assert counted(corpus.model_copy(update={"limit": 3}), lambda: False) == 3
    assert counted(corpus, lambda: True) is None
    assert counted(type(corpus)(path=str(tmp_path / "{0..1}.tar")), lambda: False) is None
    monkeypatch.setattr("tasks.shard.shard.MOST_COUNTED", 4)
    assert counted(corpus, lambda: False) is None


def test_a_limit_takes_the_first_keys(sharded, png, tmp_path):
    corpus = {"path": str(tmp_path / "natural"), "limit": 4}
    run = sharded({f"{i}.png": png(i) for i in range(9)}, corpora={"natural": corpus})
    assert [row["key"] for row in rows(run)] == ["0", "1", "2", "3"]


def test_resizing_and_cropping_make_lossless_squares(sharded, png, tmp_path, pixels):
    corpus = {"path": str(tmp_path / "natural"), "resize": 10, "crop": 10}
    run = sharded({"a.png": png(0, 20, 30)}, corpora={"natural": corpus})
    (row,) = rows(run)
    assert (row["width"], row["height"], row["member"]) == (10, 10, "a.webp")
    whole = Image.fromarray(pixels(0, 20, 30)).resize((15, 10), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(members(run)["a.webp"])) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(whole)[:, 2:12])


def test_an_image_smaller_than_the_crop_is_a_row_with_its_reason(sharded, png, tmp_path):
    corpus = {"path": str(tmp_path / "natural"), "crop": 13}
    files = {"a.png": png(0, 20, 30), "b.png": png(1, 12, 30)}
    run = sharded(files, corpora={"natural": corpus})
    assert reasons(run) == {"b.png": "too small to crop 13×13: 30×12"}


def test_a_changed_crop_redoes_every_shard(sharded, png, tmp_path):
    run = sharded({f"{i}.png": png(i) for i in range(4)})
    corpus = run.config.corpora.natural.model_copy(update={"crop": 8})
    units = list(plan_shards(run.opened, corpus, "natural"))
    assert all(unit.job is not None for unit in units)


def test_equal_corpora_give_equal_tars_and_tables(sharded, png, tmp_path, steps):
    run = sharded({f"{i}.png": png(i) for i in range(4)})
    again = steps(tmp_path / "again", {"restored": tmp_path / "restored", "natural": "unused"})
    again.config = run.config.model_copy(update={"workspace": str(tmp_path / "again")})
    again.shard()
    for name in ("shard-000000.tar", "shard-000001.parquet", "index.parquet"):
        first, second = (
            (tmp_path / folder / "datasets" / "natural" / name).read_bytes()
            for folder in ("workspace", "again")
        )
        assert first == second


def test_an_index_over_unfinished_shards_is_refused(sharded, png):
    run = sharded({"a.png": png(0)})
    with pytest.raises(StepMissing, match=r"shard-000001 must be finished.*dotpipe shard CONFIG"):
        run.index("natural", {"shard-000001": "f" * 32})


def test_an_absent_index_is_told_with_the_command_that_makes_it(steps, tmp_path):
    run = steps(tmp_path, {"restored": "r", "natural": "n"})
    with pytest.raises(StepMissing, match="run `dotpipe shard CONFIG` first"):
        run.workspace.shards("natural")


def test_a_corpus_may_lie_in_a_bucket(png):
    store = Store("memory://corpus/images")
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/corpus/images/b/1.png", png(0))
    filesystem.pipe_file("/corpus/images/a.png", png(1))
    assert [file.key for file in list_images(store)] == ["a", "b/1"]
    filesystem.store.clear()


def test_a_corpus_that_shrinks_below_what_may_be_bad_keeps_all_that_its_index_names(
    sharded, png, tmp_path
):
    files = {f"{i}.png": png(i) for i in range(7)} | {"0.png": b""}
    run = sharded(files, shards={"images": 3, "max_bad_fraction": 0.2})
    for name in range(3, 7):
        (tmp_path / "natural" / f"{name}.png").unlink()
    with pytest.raises(TooManyBadImages, match=r"natural may be refused, got 1 of 3"):
        run.shard()
    shards = run.workspace.shards("natural")
    assert list(shards) == ["shard-000000", "shard-000001", "shard-000002"]
    copied = [
        data
        for shard in shards
        for _, data in read_members(run.workspace.store, run.workspace.members("natural", shard))
    ]
    assert copied == [files[f"{i}.png"] for i in range(1, 7)]


def test_a_corpus_that_only_moved_is_sharded_again_and_nothing_else(
    sharded, png, pixels, tmp_path, steps, write_images
):
    write_images(tmp_path / "restored", {"b.png": pixels(9)})
    sharded({f"{i}.png": png(i) for i in range(4)}).fit()
    moved = shutil.copytree(tmp_path / "natural", tmp_path / "moved")  # keeps times of change
    corpora = {"restored": tmp_path / "restored", "natural": moved}
    run = steps(tmp_path / "workspace", corpora, shards={"images": 3, "max_bad_fraction": 1})
    corpus = run.config.corpora.natural
    units = list(plan_shards(run.opened, corpus, "natural"))
    assert all(unit.job.target.replaces for unit in units)
    before = run.workspace.ledger.survey("datasets/natural").records("datasets/natural/index")
    run.shard()
    assert run.fit() == []
    after = run.workspace.ledger.survey("datasets/natural").records("datasets/natural/index")
    assert before == after


def test_other_images_of_equal_names_sizes_and_times_are_not_taken_for_the_first(
    sharded, pixels, tmp_path, steps, write_images
):
    run = sharded({"a.bmp": pixels(1)})
    other = write_images(tmp_path / "other", {"a.bmp": pixels(2)})
    first = (tmp_path / "natural" / "a.bmp").stat()
    os.utime(other / "a.bmp", ns=(first.st_atime_ns, first.st_mtime_ns))
    again = steps(tmp_path / "workspace", {"restored": tmp_path / "restored", "natural": other})
    again.shard()
    assert first.st_size == (other / "a.bmp").stat().st_size
    assert members(run)["a.bmp"] == (other / "a.bmp").read_bytes()
