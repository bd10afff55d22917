"""Ends of names: taken off where it is said, found where two corpora have no key in common."""

import io
import tarfile

import pytest
from PIL import Image

from tasks.config.corpora import Corpus
from tasks.io.shards.keys import replaced, stripped
from tasks.shard.corpus import list_files
from tasks.shard.suffixes import ending_between, folder_between


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


# Folders that are replaced


@pytest.mark.parametrize(
    ("key", "old", "new", "found"),
    [
        ("a/blur/1", "/blur/", "/sharp/", "a/sharp/1"),
        ("blur/1", "/blur/", "/sharp/", "sharp/1"),
        ("blur/1", "/blur/", "/", "1"),
        ("a/1", "/blur/", "/sharp/", "a/1"),
        ("blur/a/blur/1", "/blur/", "/sharp/", "sharp/a/sharp/1"),
        ("a/blur/blur/1", "/blur/", "/sharp/", "a/sharp/sharp/1"),
        ("a/blur/x/1", "/blur/x/", "/sharp/y/", "a/sharp/y/1"),
        ("a/blurred/1", "/blur/", "/sharp/", "a/blurred/1"),
        ("a/1_blur", "_blur", "", "a/1"),
    ],
)
def test_what_is_replaced_in_a_key_wherever_it_stands(key, old, new, found):
    assert replaced(key, old, new) == found


def test_keys_with_another_folder_are_in_order_and_the_second_of_a_key_is_refused(
    tmp_path, write_images, pixels
):
    names = ["z/1.png", "b/1.png", "b/2.png", "c/0.png", "c/0.txt"]
    images = {name: b"words" if name.endswith("txt") else pixels(1) for name in names}
    folder = write_images(tmp_path / "images", images)
    match = {"from": "/z/", "to": "/b/"}
    corpus = Corpus(path=str(folder), match=match, beside=["txt"])
    files = list(list_files(corpus, {}))
    assert [file.key for file in files] == ["b/1", "b/1", "b/2", "c/0"]
    assert [file.path for file in files] == ["b/1.png", "z/1.png", "b/2.png", "c/0.png"]
    assert [side.path for side in files[3].sides] == ["c/0.txt"]
    assert files[1].refusal == (
        "key taken: another file differs only in extension, or in what is replaced; rename one"
    )
    both = Corpus(path=str(folder), match={"from": "/z/", "to": "/"}, strip="0")
    assert [file.key for file in list_files(both, {})] == ["1", "b/1", "b/2", "c/0"]


def test_a_key_that_becomes_none_is_a_refused_row(tmp_path, write_images, pixels):
    folder = write_images(tmp_path / "images", {"a/b.png": pixels(1), "c.png": pixels(2)})
    files = list(list_files(Corpus(path=str(folder), match={"from": "b", "to": ""}), {}))
    assert [(file.path, file.refusal) for file in files] == [
        ("a/b.png", "name has an empty part: rename the file"),
        ("c.png", ""),
    ]


def test_many_keys_that_are_replaced_are_sorted_on_disk(
    tmp_path, write_images, pixels, monkeypatch
):
    from tasks.io.catalogue import external_sort

    monkeypatch.setattr(external_sort.in_order, "__defaults__", (3,))
    names = [f"{folder}/blur/{i}.png" for folder in "cab" for i in range(4)]
    folder = write_images(tmp_path / "images", dict.fromkeys(names, pixels(1)))
    match = {"from": "/blur/", "to": "/"}
    files = list(list_files(Corpus(path=str(folder), match=match), {}))
    assert [file.key for file in files] == [f"{f}/{i}" for f in "abc" for i in range(4)]


def test_keys_of_tars_are_replaced_too(tmp_path, steps, pixels):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(["x/blur/b", "x/blur/a", "x/sharp/a"]):
            data = io.BytesIO()
            Image.fromarray(pixels(i)).save(data, "PNG")
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
    match = {"from": "/blur/", "to": "/sharp/"}
    corpora = {"restored": {"path": str(path), "match": match}, "natural": {"path": str(path)}}
    run = steps(tmp_path / "w", corpora, shards={"max_bad_fraction": 1})
    run.shard()
    assert [key for key, _ in run.workspace.keys("run")] == ["x/sharp/a", "x/sharp/b"]
    rows = run.workspace.shard_index("run", "shard-000000").to_pylist()
    assert {row["reason"] for row in rows} == {
        None,
        "key taken: another member has it with '/sharp/' for '/blur/'; rename one",
    }


def test_the_folder_that_two_corpora_call_differently_is_found():
    ours = [f"s{i}/blur/{i}" for i in range(5)] + ["odd/1"]
    theirs = [f"s{i}/sharp/{i}" for i in range(4)]
    assert folder_between(ours, theirs) == ("/blur/", "/sharp/", 4)
    assert folder_between(ours, [*theirs, "odd/1"]) is None
    assert folder_between(["a/1"], ["b/2"]) is None
