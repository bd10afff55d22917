"""What comes in: files and foreign tars, in the order of keys, checked one by one."""

import hashlib
import io
import json
import tarfile
import tempfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tasks.config.corpora import Corpus
from tasks.io.errors import StoreRefused
from tasks.io.images import Limits
from tasks.io.shards import Accepted, Refused
from tasks.io.store import Store
from tasks.io.workspace import Workspace, key_digest
from tasks.shard.corpus import list_files, source_of
from tasks.shard.image_files import SourceFile, SourceSide
from tasks.shard.intake import accept_files
from tasks.shard.tars.intake import accept_tar

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
TAR = SourceFile("x/part-0", "x/part-0.tar", 0, "v")


@pytest.fixture
def png(pixels):
    """Draws the bytes of a small PNG file."""

    def draw(seed, height=12, width=14):
        out = io.BytesIO()
        Image.fromarray(pixels(seed, height, width)).save(out, "PNG")
        return out.getvalue()

    return draw


@pytest.fixture
def take(tmp_path):
    """Writes a tar of these members and takes it in."""

    def taken(members, forgotten=(), limits=LIMITS, cut=None, **options):
        path = tmp_path / TAR.path
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        if cut is not None:
            path.write_bytes(path.read_bytes()[:cut])
        corpus = Corpus(path=str(path), **options)
        return list(accept_tar(Store(str(tmp_path)), TAR, corpus, limits, forgotten))

    return taken


def test_images_of_a_tar_in_any_order_come_in_the_order_of_their_keys(take, png):
    members = [(f"{key}.png", png(seed)) for seed, key in enumerate(["c", "a/b", "日", "a"])]
    found = take(members)
    assert [image.key for image in found] == ["a", "a/b", "c", "日"]
    assert {image.key: image.data for image in found} == {n[:-4]: data for n, data in members}
    assert [image.source for image in found][:2] == ["x/part-0.tar/a.png", "x/part-0.tar/a/b.png"]


def test_what_is_known_of_an_image_stays_with_it(take, png):
    sides = {key: json.dumps({"of": key}).encode() for key in "cab"}
    members = [m for k, d in sides.items() for m in ((f"{k}.json", d), (f"{k}.png", png(0)))]
    found = take([*members, ("d.png", png(1))])
    assert {image.key: image.sides.get("json") for image in found} == {**sides, "d": None}


@pytest.mark.parametrize("first", ["json", "png"])
def test_what_is_known_of_an_image_finds_it_wherever_it_stands_in_the_tar(take, png, first):
    sides = [(f"{key}.json", json.dumps({"of": key}).encode()) for key in "cab"]
    images = [(f"{key}.png", png(seed)) for seed, key in enumerate("bcad")]
    found = take([*sides, *images] if first == "json" else [*images, *sides])
    expected = {name[0]: side for name, side in sides} | {"d": None}
    assert {image.key: image.sides.get("json") for image in found} == expected
    assert {image.key: image.data for image in found} == {n[0]: data for n, data in images}
    assert {image.reason for image in found} == {None}


def test_json_apart_that_is_left_out_is_told_beside_its_image(take, png):
    members = [("a.json", b"{"), ("b.json", b"{}"), ("a.png", png(0)), ("c.json", b"{}")]
    members += [("b.png", png(1)), ("c.png", png(2)), ("b.json", b"{}"), ("c.json", b"[]")]
    several = "side left out: the sample has several JSON members"
    told = ["side left out: no valid JSON", several, several]
    assert [image.reason for image in take(members)] == told


def test_names_in_decomposed_letters_give_keys_in_composed_ones(take, png):
    members = [("z.png", png(0)), ("cafe\u0301.png", png(1)), ("cafe\u0301.json", b"{}")]
    members += [("u\u0308.png", png(2)), ("\u00fc.png", png(3))]  # these two are told apart
    found = {image.key: (image.source, image.sides.get("json")) for image in take(members)}
    assert found == {
        "u\u0308": ("x/part-0.tar/u\u0308.png", None),
        "z": ("x/part-0.tar/z.png", None),
        "caf\u00e9": ("x/part-0.tar/cafe\u0301.png", b"{}"),
        "\u00fc": ("x/part-0.tar/\u00fc.png", None),
    }
    assert list(found) == sorted(found)


@pytest.mark.parametrize("forgotten", ["cafe\u0301", "caf\u00e9"])
def test_a_forgotten_key_stays_out_in_either_form_of_its_letters(take, png, forgotten):
    assert take([("cafe\u0301.png", png(0))], forgotten=[key_digest(forgotten)]) == []


def test_captions_and_classes_stay_with_their_image_wherever_they_stand(take, png):
    members = [("a.txt", b"of a"), ("a.cls", b"1"), ("b.png", png(1)), ("b.txt", b"of b")]
    members += [("a.png", png(0)), ("a.json", b"{"), ("b.cls", b"2"), ("b.txt", b"again")]
    first, second = take(members)
    assert (first.sides, first.reason) == (
        {"txt": b"of a", "cls": b"1"},
        "side left out: no valid JSON",
    )
    assert (second.sides, second.reason) == (
        {"cls": b"2"},
        "side left out: the sample has several .txt members",
    )
    assert [image.sides for image in take(members, beside=["cls"])] == [
        {"cls": b"1"},
        {"cls": b"2"},
    ]


def test_files_beside_an_image_that_are_left_out_are_told(tmp_path, png):
    for name, data in {
        "a.png": png(0),
        "a.txt": b"a caption",
        "a.json": b"{",
        "b.png": png(1),
        "b.txt": b"one",
        "b.TXT": b"two",
        "b.cls": b"1",
        "c.jpg": png(2),
        "c.png": png(3),
        "c.txt": b"of the first",
        "d.png": png(4),
        "d.txt": b"x" * ((1 << 20) + 1),
    }.items():
        (tmp_path / name).write_bytes(data)
    corpus = Corpus(path=str(tmp_path), beside=["json", "txt", "cls"])
    files = list(list_files(corpus, {}))
    (tmp_path / "b.cls").unlink()
    found = {i.source: i for i in accept_files(source_of(corpus), files, corpus, LIMITS)}
    assert (found["a.png"].sides, found["a.png"].reason) == (
        {"txt": b"a caption"},
        "side left out: no valid JSON",
    )
    assert (found["b.png"].sides, found["b.png"].reason) == (
        {},
        "side left out: .cls is unreadable: No such file or directory; "
        "side left out: the sample has several .txt members",
    )
    assert found["c.jpg"].sides == {"txt": b"of the first"}
    assert isinstance(found["c.png"], Refused)
    assert found["d.png"].reason == "side left out: .txt of 1048577 bytes, limit 1048576"


def test_a_file_beside_has_the_key_of_its_image_without_what_is_stripped(tmp_path, png):
    (tmp_path / "a_net.png").write_bytes(png(0))
    (tmp_path / "a.txt").write_bytes(b"a caption")
    corpus = Corpus(path=f"{tmp_path}/*.png", strip="_net", beside=["txt"])
    (image,) = accept_files(source_of(corpus), list(list_files(corpus, {})), corpus, LIMITS)
    assert (image.key, image.sides) == ("a", {"txt": b"a caption"})


def test_fingerprints_of_files_without_others_beside_them_are_what_they_were():
    file = SourceFile("a", "a.png", 3, "4.5")
    old = "SourceFile(key='a', path='a.png', size=3, version='4.5', refusal='')"
    assert repr((file,)) == f"({old},)"
    beside = (SourceSide("txt", "a.txt", 1, "6.7"),)
    assert "6.7" in repr(file._replace(sides=beside))


def test_images_have_the_digest_and_size_of_their_bytes(take, png):
    data = png(3, 20, 30)
    (image,) = take([("a.png", data)])
    digest = hashlib.sha256(data).hexdigest()
    assert (image.sha256, image.width, image.height, image.extension) == (digest, 30, 20, "png")


def test_json_that_is_left_out_is_told_beside_its_image(take, png):
    (image,) = take([("a.png", png(0)), ("a.json", b"{")])
    assert isinstance(image, Accepted)
    assert (image.sides, image.reason) == ({}, "side left out: no valid JSON")


def test_forgotten_keys_are_left_out_with_what_was_known_of_them(take, png):
    members = [("a.png", png(0)), ("b.png", png(1)), ("b.json", b"{}"), ("c.png", png(2))]
    found = take(members, forgotten=[key_digest("b")])
    assert [(image.key, image.sides) for image in found] == [("a", {}), ("c", {})]


def test_a_forgotten_key_with_a_damaged_image_leaves_no_row(take, png):
    found = take([("a.png", png(0)), ("b.png", b"no image")], forgotten=[key_digest("b")])
    assert [image.key for image in found] == ["a"]


def test_bad_images_are_rows_among_the_good_ones(take, png):
    found = take([("b.png", b"no image"), ("c.png", png(0)), ("a.png", b"")])
    assert [(image.key, isinstance(image, Refused)) for image in found] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]
    assert found[0].reason == "empty file"
    assert found[1].reason.startswith("no image in one of the formats")


def test_a_tar_cut_short_keeps_what_came_whole_and_has_a_row_of_its_own(take, png):
    members = [("b.png", png(0)), ("a.png", png(1))]
    found = take(members, cut=512 + len(png(0)) + 512 + 700)
    good = [image.key for image in found if isinstance(image, Accepted)]
    (bad,) = (image for image in found if isinstance(image, Refused))
    assert (good, bad.key, bad.source) == (["b"], "x/part-0", "x/part-0.tar")
    assert bad.reason.startswith("tar damaged after ")


def test_an_empty_tar_gives_nothing(take):
    assert take([]) == []


def test_images_of_a_tar_are_resized_and_cropped_as_those_of_a_folder_are(take, png, tmp_path):
    members = [("b.png", png(0, 20, 30)), ("a.png", png(1, 9, 30))]
    small, square = take(members, resize=10, crop=10)
    (tmp_path / "b.png").write_bytes(png(0, 20, 30))
    corpus = Corpus(path=str(tmp_path), resize=10, crop=10)
    files = [SourceFile("b", "b.png", len(png(0, 20, 30)), "v")]
    (from_folder,) = accept_files(Store(str(tmp_path)), files, corpus, LIMITS)
    assert square.data == from_folder.data
    assert (square.width, square.height, square.extension) == (10, 10, "webp")
    with Image.open(io.BytesIO(small.data)) as image:
        assert np.asarray(image).shape == (10, 10, 3)


def test_what_waits_for_its_place_lies_on_the_disk_and_not_in_memory(take, png, monkeypatch):
    written = []

    class Watched(io.BytesIO):
        def write(self, data):
            written.append(len(data))
            return super().write(data)

    monkeypatch.setattr(tempfile, "TemporaryFile", Watched)
    side = json.dumps("x" * 5000).encode()
    take([("b.png", png(0)), ("b.json", side), ("a.png", png(1))])
    assert written == [len(png(0)), len(side), len(png(1))]


def test_a_file_that_was_refused_by_its_name_is_not_opened(tmp_path):
    files = [SourceFile("a", "a.png", 1, "v", "name is absolute: rename the file")]
    (row,) = accept_files(Store(str(tmp_path)), files, Corpus(path=str(tmp_path)), LIMITS)
    assert row == Refused(key="a", source="a.png", reason="name is absolute: rename the file")


def listed(*keys):
    return [SourceFile(key, f"{key}.png", 1 << 20, "v") for key in keys]


@pytest.mark.parametrize("left", ["no folder", "an empty folder"])
def test_a_corpus_that_is_gone_as_a_whole_is_no_fault_of_its_images(tmp_path, png, left):
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(0))
    files = accept_files(Store(str(folder)), listed("a", "b"), Corpus(path=str(folder)), LIMITS)
    assert isinstance(next(files), Accepted)
    (folder / "a.png").unlink()
    if left == "no folder":
        folder.rmdir()
    with pytest.raises(OSError, match=r"the corpus must stay where it was listed.*mount it again"):
        next(files)


def test_a_single_file_that_vanished_is_a_row(tmp_path, png):
    (tmp_path / "a.png").write_bytes(png(0))
    corpus = Corpus(path=str(tmp_path))
    accepted, row = accept_files(Store(str(tmp_path)), listed("a", "b"), corpus, LIMITS)
    assert isinstance(accepted, Accepted)
    assert row.reason == "unreadable: No such file or directory"


def test_a_file_that_has_grown_since_it_was_listed_is_a_row_and_not_read_to_its_end(tmp_path, png):
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "b.png").symlink_to("/dev/zero")
    files = [SourceFile("a", "a.png", len(png(0)) - 1, "v"), SourceFile("b", "b.png", 0, "v")]
    rows = [*accept_files(Store(str(tmp_path)), files, Corpus(path=str(tmp_path)), LIMITS)]
    assert [row.reason for row in rows] == [
        f"changed: it has more than the {size} bytes that were listed"
        for size in (len(png(0)) - 1, 0)
    ]


def test_links_that_lead_nowhere_are_rows_among_the_good_ones(tmp_path, png):
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "b.png").symlink_to("b.png")
    (tmp_path / "c.png").symlink_to("a.png/x.png")
    corpus = Corpus(path=str(tmp_path))
    size = len(png(0))
    files = [SourceFile(key, f"{key}.png", size, "v") for key in "abc"]
    accepted, loop, lost = accept_files(Store(str(tmp_path)), files, corpus, LIMITS)
    assert isinstance(accepted, Accepted)
    assert loop.reason == "unreadable: Too many levels of symbolic links"
    assert lost.reason == "unreadable: Not a directory"


def test_an_object_in_an_archive_is_a_row_that_says_what_to_do(bucket, png):
    for key in "ab":
        kind = "GLACIER" if key == "b" else "STANDARD"
        bucket.put(f"{key}.png", png(0), StorageClass=kind)
    files = [SourceFile(key, f"{key}.png", len(png(0)), "v") for key in "ab"]
    accepted, row = accept_files(Store(bucket.url), files, Corpus(path=bucket.url), LIMITS)
    assert isinstance(accepted, Accepted)
    assert row.reason == "unreadable: archived, restore it first"


def test_a_full_temporary_folder_is_told_by_its_name(take, png, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b"))
    workspace = Workspace(str(tmp_path / "workspace"))
    with (
        pytest.raises(StoreRefused, match=f"{tmp_path}/elsewhere, where files wait.*No space left"),
        workspace.ledger.publishing("datasets/x/shard-000000", "f" * 32),
    ):
        take([("a.png", png(0)), ("b.png", png(1))])
