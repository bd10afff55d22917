"""Shards: equal bytes for equal content, readable by everyone, indexed to the byte."""

import hashlib
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from tasks.io.errors import ShardDamaged
from tasks.io.shards import (
    INDEX_SCHEMA,
    SHARD_ENDINGS,
    Accepted,
    Refused,
    member_name,
    members_of,
    read_index,
    read_members,
    read_sides,
    shard_name,
    write_shard,
)
from tasks.io.shards.shard import SIDE_COLUMNS
from tasks.io.store import Store
from tests.support.pictures import encode

KEYS = (
    "%5F_a__/b",
    "____/xy",
    "__a__/__b__/c",
    "__a__b/__c__",
    "a",
    "a.b/c.d",
    "a/b%2Ec",
    "dots.in.name",
    "folder/" + "n" * 92,
    "folder/" + "n" * 93,
    "with space/x (1)",
    "x" * 300,
    "é/日本",
    "ü" * 90,
    "한국어/사진/👩‍👩‍👧",
    "字" * 1000,
)


def accepted(key, data=None, side=None):
    data = f"bytes of {key}".encode() if data is None else data
    return Accepted(
        key=key,
        source=f"{key}.jpg",
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension="jpg",
        width=8,
        height=9,
        sides={} if side is None else {"json": side},
    )


def side_of(key):
    """JSON for every second key."""
    return None if KEYS.index(key) % 2 else json.dumps({"key": key}).encode()


def write(folder, images, name="shard-000000"):
    folder.mkdir(exist_ok=True)
    tar, index, dali = (folder / f"{name}.{ending}" for ending in SHARD_ENDINGS)
    _, digest = write_shard(name, iter(images), tar, index, dali)
    return tar, index, digest


@pytest.fixture
def whole(tmp_path):
    return write(tmp_path / "whole", [accepted(key) for key in KEYS])


@pytest.fixture
def known(tmp_path):
    """A shard whose images are known of: every second has JSON."""
    return write(tmp_path / "known", [accepted(key, side=side_of(key)) for key in KEYS])


def test_equal_content_gives_equal_bytes(tmp_path, whole):
    tar, index, digest = write(tmp_path / "again", [accepted(key) for key in KEYS])
    assert tar.read_bytes() == whole[0].read_bytes()
    assert index.read_bytes() == whole[1].read_bytes()
    assert digest == whole[2]


def test_plain_tar_lists_every_member(whole):
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "-tf", whole[0]],  # whichever tar there is
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert listed.stderr == b""
    assert listed.stdout.decode().splitlines() == [member_name(key, "jpg") for key in KEYS]


def test_python_reads_names_and_bytes_without_owners_and_times(whole):
    with tarfile.open(whole[0], "r:") as archive:
        infos = archive.getmembers()
        assert [info.name for info in infos] == [member_name(key, "jpg") for key in KEYS]
        for key, info in zip(KEYS, infos, strict=True):
            assert archive.extractfile(info).read() == f"bytes of {key}".encode()
            assert (info.mtime, info.uid, info.gid, info.uname) == (0, 0, 0, "")


def test_short_ascii_names_need_no_extended_header(tmp_path):
    tar, _, _ = write(tmp_path, [accepted("a/b", b"12345")])
    data = tar.read_bytes()
    assert data[257:263] == b"ustar\0"
    assert b"PaxHeader" not in data
    assert len(data) == 512 + 512 + 1024


def test_a_first_folder_that_webdataset_leaves_out_is_renamed_so_that_it_can_be_told():
    assert member_name("__a__/b.c/d.e", "png") == "%5F_a__/b.c/d%2Ee.png"
    assert member_name("a/__b__/c", "png") == "a/__b__/c.png"
    keys = [f"{first}/b" for first in ("__a__", "%5F_a__", "%255F_a__", "%2525", "%20_a__")]
    names = [member_name(key, "png") for key in keys]
    assert len(set(names)) == len(keys)
    for key, name in zip(keys, names, strict=True):
        is_coded = name.startswith(("%5F", "%25"))
        assert (unquote(name[:3]) + name[3:] if is_coded else name) == f"{key}.png"


@pytest.mark.filterwarnings("ignore")  # webdataset's own, of names it will rename
def test_webdataset_reads_a_sample_per_image_and_the_whole_key(whole):
    import webdataset

    samples = list(webdataset.WebDataset(str(whole[0]), shardshuffle=False))
    assert len(samples) == len(KEYS)
    for key, sample in zip(KEYS, samples, strict=True):
        assert sample["__key__"] == member_name(key, "jpg").removesuffix(".jpg")
        assert sample["jpg"] == f"bytes of {key}".encode()


@pytest.mark.filterwarnings("ignore")  # webdataset's own, of names it will rename
def test_webdataset_reads_what_is_known_of_an_image_as_its_json(known):
    import webdataset

    samples = list(webdataset.WebDataset(str(known[0]), shardshuffle=False))
    assert [sample.get("json") for sample in samples] == [side_of(key) for key in KEYS]
    assert [sample["jpg"] for sample in samples] == [f"bytes of {key}".encode() for key in KEYS]


def test_hugging_face_datasets_stream_keys_images_and_json(tmp_path, pixels, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    cache = str(tmp_path / "cache")
    keys = ("a", "b.c", "d/é 1")
    files = {key: encode(pixels(number), "png") for number, key in enumerate(keys)}
    images = [accepted(k, data, json.dumps({"key": k}).encode()) for k, data in files.items()]
    tar, _, _ = write(tmp_path / "shards", [replace(image, extension="png") for image in images])
    rows = list(
        datasets.load_dataset(
            "webdataset", data_files=str(tar), split="train", streaming=True, cache_dir=cache
        ).cast_column("png", datasets.Image(decode=False))
    )
    assert [row["__key__"] for row in rows] == ["a", "b%2Ec", "d/é 1"]
    assert [row["json"] for row in rows] == [{"key": key} for key in keys]
    assert [row["png"]["bytes"] for row in rows] == list(files.values())


def test_plain_tar_unpacks_images_and_json_beside_each_other(tmp_path, known):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    keys = [key for key in KEYS if max(map(len, key.encode().split(b"/"))) < 250]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    names = [member_name(key, "jpg") for key in keys]
    names += [member_name(key, "json") for key in keys if side_of(key)]
    command = ["tar", "-xf", known[0], "-C", folder, *names]
    subprocess.run(command, check=True, env=environment)
    for key in keys:
        assert (folder / member_name(key, "jpg")).read_bytes() == f"bytes of {key}".encode()
        side = folder / member_name(key, "json")
        assert (side.read_bytes() if side.exists() else None) == side_of(key)


def test_the_index_for_dali_points_at_the_bytes_of_every_member(known):
    """The format as DALI's reader parses it: fields parted by white space, blocks of 512."""
    data = known[0].read_bytes()
    first, *lines = known[0].with_suffix(".idx").read_text("utf-8").splitlines()
    assert first == f"v1.2 {len(KEYS)}"
    for key, line in zip(KEYS, lines, strict=True):
        fields = line.split()
        assert len(fields) == (4 if side_of(key) is None else 8)
        found = {}
        for ending, offset, size, name in zip(*[iter(fields)] * 4, strict=True):
            assert int(offset) % 512 == 0
            assert name == member_name(key, ending).replace(" ", "%20")
            found[ending] = data[int(offset) : int(offset) + int(size)]
        expected = {"jpg": f"bytes of {key}".encode(), "json": side_of(key)}
        assert found == {ending: value for ending, value in expected.items() if value}


def test_the_index_for_dali_agrees_with_the_offsets_that_tarfile_finds(known):
    with tarfile.open(known[0], "r:") as archive:
        places = {info.name: (info.offset_data, info.size) for info in archive.getmembers()}
    text = known[0].with_suffix(".idx").read_text("utf-8")
    fields = [field for line in text.splitlines()[1:] for field in line.split()]
    named = zip(fields[3::4], fields[1::4], fields[2::4], strict=True)
    found = {name.replace("%20", " "): (int(offset), int(size)) for name, offset, size in named}
    assert found == places


def test_an_index_for_dali_without_images_says_so(tmp_path):
    tar, _, _ = write(tmp_path, [Refused(key="a", source="a", reason="empty file")])
    assert tar.with_suffix(".idx").read_text() == "v1.2 0\n"


def test_the_index_gives_what_is_known_of_every_image(tmp_path, known):
    members = members_of(pq.read_table(known[1]), "known")
    sides = read_sides(Store(str(tmp_path)), members)
    assert sides == {key: {"json": side_of(key)} for key in KEYS if side_of(key)}
    read = list(read_members(Store(str(tmp_path)), members))
    assert [data for _, data in read] == [f"bytes of {key}".encode() for key in KEYS]


def test_an_index_of_an_older_version_is_read_and_knows_nothing_of_its_images(tmp_path, whole):
    old = pq.read_table(whole[1]).drop_columns(
        [name for names in SIDE_COLUMNS.values() for name in names]
    )
    pq.write_table(old, tmp_path / "old.parquet")
    assert [member.sides for member in members_of(old, "whole")] == [()] * len(KEYS)
    table = read_index(Store(str(tmp_path)), "old.parquet")
    assert table.schema.equals(INDEX_SCHEMA)
    assert table.equals(pq.read_table(whole[1]))


def test_an_image_may_be_accepted_with_a_reason_for_what_it_lacks(tmp_path):
    image = replace(accepted("a"), left_out={"json": "side left out: no valid JSON"})
    _, index, digest = write(tmp_path, [image])
    (row,) = pq.read_table(index).to_pylist()
    assert (row["status"], row["reason"]) == ("ok", "side left out: no valid JSON")
    assert digest != write(tmp_path, [accepted("a")])[2]


def test_the_index_gives_the_bytes_of_every_image(tmp_path, whole):
    table = pq.read_table(whole[1])
    members = members_of(table, "whole")
    read = list(read_members(Store(str(tmp_path)), members))
    assert [member.key for member, _ in read] == list(KEYS)
    for member, data in read:
        assert data == f"bytes of {member.key}".encode()
        assert hashlib.sha256(data).hexdigest() == member.sha256


def test_members_are_read_in_the_order_asked_for_across_tars(tmp_path):
    tables = [
        pq.read_table(write(tmp_path, [accepted(key) for key in keys], shard_name(number))[1])
        for number, keys in enumerate((("a", "b"), ("c", "d")))
    ]
    first, second = (members_of(table, "") for table in tables)
    wanted = [second[1], first[0], second[0]]
    store = Store(str(tmp_path))
    wanted = [member._replace(file=member.file.lstrip("/")) for member in wanted]
    assert [data for _, data in read_members(store, wanted)] == [
        b"bytes of d",
        b"bytes of a",
        b"bytes of c",
    ]


def test_a_tar_shorter_than_its_index_is_said_so(tmp_path, whole):
    os.truncate(whole[0], 1500)
    members = members_of(pq.read_table(whole[1]), "whole")
    with pytest.raises(ShardDamaged, match=r"whole/shard-000000.tar must hold 16 bytes at 1536"):
        list(read_members(Store(str(tmp_path)), members))


def test_one_bit_of_an_image_that_has_changed_is_said_so(tmp_path, whole):
    members = members_of(pq.read_table(whole[1]), "whole")
    data = bytearray(whole[0].read_bytes())
    data[members[3].offset + 2] ^= 1
    whole[0].write_bytes(data)
    images = read_members(Store(str(tmp_path)), members)
    assert [next(images)[0].key for _ in range(3)] == list(KEYS[:3])
    with pytest.raises(ShardDamaged, match=r"holds others; run `dotpipe verify CONFIG`, then"):
        next(images)


def test_refused_images_have_a_row_with_their_reason_and_no_member(tmp_path):
    refused = Refused(key="b", source="b.png", reason="empty file")
    tar, index, _ = write(tmp_path, [accepted("a"), refused, accepted("c")])
    with tarfile.open(tar) as archive:
        assert archive.getnames() == ["a.jpg", "c.jpg"]
    rows = pq.read_table(index).to_pylist()
    assert [row["key"] for row in rows] == ["a", "b", "c"]
    assert (rows[1]["status"], rows[1]["reason"], rows[1]["offset"]) == (
        "refused",
        "empty file",
        None,
    )
    assert [member.key for member in members_of(pq.read_table(index), "")] == ["a", "c"]


@pytest.mark.parametrize(
    "images",
    [
        [accepted("a", b"1"), accepted("b", b"3")],
        [accepted("a", b"1"), accepted("c", b"2")],
        [accepted("a", b"1")],
        [accepted("a", b"1"), Refused(key="b", source="b", reason="empty file")],
        [accepted("b", b"2"), accepted("a", b"1")],
        [accepted("a", b"1", b"{}"), accepted("b", b"2")],
    ],
)
def test_the_digest_changes_when_the_content_does(tmp_path, images):
    same = [accepted("a", b"1"), accepted("b", b"2")]
    digest = write(tmp_path, same)[2]
    assert write(tmp_path, same)[2] == digest
    assert write(tmp_path, images)[2] != digest


def test_the_digest_does_not_depend_on_the_shards_name(tmp_path):
    assert write(tmp_path, [accepted("a")])[2] == write(tmp_path, [accepted("a")], "other")[2]


def test_a_members_name_can_be_read_back_into_its_key():
    for key in KEYS:
        folder, slash, base = member_name(key, "jpg").removesuffix(".jpg").rpartition("/")
        if folder.startswith(("%5F", "%25")):
            folder = unquote(folder[:3]) + folder[3:]
        assert folder + slash + unquote(base) == key
        assert "." not in base


def test_shards_are_named_in_the_order_of_strings():
    names = [shard_name(number) for number in (0, 9, 10, 99_999, 100_000)]
    assert names == sorted(names)
    assert names[0] == "shard-000000"
