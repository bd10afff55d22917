"""Ends of names: taken off where it is said, found where two corpora have no key in common."""

import io
import tarfile

import pytest
from PIL import Image

from tasks.config.corpora import Corpus
from tasks.io.shards.keys import stripped
from tasks.shard.corpus import list_files
from tasks.shard.suffixes import ending_between


@pytest.mark.parametrize(
    ("key", "end", "left"),
    [
        ("a/kodim01_swinir", "_swinir", "a/kodim01"),
        ("a/kodim01", "_swinir", "a/kodim01"),
        ("a_swinir/kodim01", "_swinir", "a_swinir/kodim01"),
        ("a/_swinir", "_swinir", "a/_swinir"),
        ("a/1_x4_swin", "_x?_*", "a/1"),
        ("a/1_b_c", "_*", "a/1_b"),
        ("a/1_x4", "_x[24]", "a/1"),
        ("a/1_x3", "_x[24]", "a/1_x3"),
        ("1.v2", ".v2", "1"),
        ("_x4", "_*", "_x4"),
    ],
)
def test_an_end_is_taken_off_the_name_alone(key, end, left):
    assert stripped(key, end) == left


def test_the_end_that_would_make_keys_agree_is_found():
    clean = ["a/1", "a/2", "b/3", "b/3_x"]
    restored = [f"{key}_swinir" for key in clean]
    assert ending_between(restored, clean) == ("_swinir", True, 4)
    assert ending_between(clean, [f"{key}_gt" for key in clean]) == ("_gt", False, 4)
    assert ending_between(clean, clean) is None
    assert ending_between(["x"], clean) is None


@pytest.fixture
def folder(tmp_path, write_images, pixels):
    names = ["a_x4.png", "a-b_x4.png", "a/c_x4.png", "d.png", "d_x4.jpg"]
    return write_images(tmp_path / "restored", {name: pixels(1) for name in names})


def test_keys_are_without_the_end_and_in_order(folder):
    files = list(list_files(Corpus(path=str(folder), strip="_x4"), {}))
    assert [file.key for file in files] == ["a", "a-b", "a/c", "d", "d"]
    assert [file.path for file in files][:3] == ["a_x4.png", "a-b_x4.png", "a/c_x4.png"]
    assert files[4].refusal == (
        "key taken: another file differs only in extension, or in what is stripped; rename one"
    )


def test_a_run_matches_images_whose_names_differ_by_an_end(
    tmp_path, steps, write_images, pixels, softened
):
    names = ["a", "a-b", "c", "a/d"]
    clean = {f"{name}.png": pixels(i) for i, name in enumerate(names)}
    restored = {f"{name}_x4.png": softened(pixels(i)) for i, name in enumerate(names)}
    corpora = {
        "reference": {"path": str(write_images(tmp_path / "clean", clean))},
        "restored": {"path": str(write_images(tmp_path / "restored", restored)), "strip": "_x4"},
    }
    run = steps(tmp_path / "w", corpora, enhance={"alphas": [0]})
    run.shard()
    run.fit()
    run.enhance()
    assert [key for key, _ in run.workspace.keys("run")] == sorted(names)
    store = run.workspace.store
    matches = store.local("datasets/run/matches/reference")
    assert len(list(matches.glob("*.parquet"))) == 2


def test_keys_of_tars_are_without_the_end_too(tmp_path, steps, pixels):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(["b_x4", "a_x4", "a"]):
            data = io.BytesIO()
            Image.fromarray(pixels(i)).save(data, "PNG")
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
    corpora = {"restored": {"path": str(path), "strip": "_x4"}, "natural": {"path": str(path)}}
    run = steps(tmp_path / "w", corpora, shards={"max_bad_fraction": 1})
    run.shard()
    assert [key for key, _ in run.workspace.keys("run")] == ["a", "b"]
    rows = run.workspace.shard_index("run", "shard-000000").to_pylist()
    assert {row["reason"] for row in rows} == {
        None,
        "key taken: another member has it without '_x4'; rename one",
    }
