"""Shards: equal bytes for equal content, readable by everyone, indexed to the byte."""

import hashlib
import os
import subprocess
import tarfile

import pyarrow.parquet as pq
import pytest

from tasks.io.shards import (
    Accepted,
    Refused,
    member_name,
    members_of,
    read_members,
    shard_name,
    write_shard,
)
from tasks.io.store import Store

KEYS = (
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
)


def accepted(key, data=None):
    data = f"bytes of {key}".encode() if data is None else data
    return Accepted(
        key=key,
        source=f"{key}.jpg",
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension="jpg",
        width=8,
        height=9,
    )


def write(folder, images, name="shard-000000"):
    folder.mkdir(exist_ok=True)
    tar, index = folder / f"{name}.tar", folder / f"{name}.parquet"
    _, digest = write_shard(name, iter(images), tar, index)
    return tar, index, digest


@pytest.fixture
def whole(tmp_path):
    return write(tmp_path / "whole", [accepted(key) for key in KEYS])


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


@pytest.mark.filterwarnings("ignore")  # webdataset's own, of names it will rename
def test_webdataset_reads_a_sample_per_image_and_the_whole_key(whole):
    import webdataset

    samples = list(webdataset.WebDataset(str(whole[0]), shardshuffle=False))
    assert len(samples) == len(KEYS)
    for key, sample in zip(KEYS, samples, strict=True):
        assert sample["__key__"] == member_name(key, "jpg").removesuffix(".jpg")
        assert sample["jpg"] == f"bytes of {key}".encode()


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
    wanted = [member._replace(tar=member.tar.lstrip("/")) for member in wanted]
    assert [data for _, data in read_members(store, wanted)] == [
        b"bytes of d",
        b"bytes of a",
        b"bytes of c",
    ]


def test_a_tar_shorter_than_its_index_is_said_so(tmp_path, whole):
    os.truncate(whole[0], 1500)
    members = members_of(pq.read_table(whole[1]), "whole")
    with pytest.raises(OSError, match=r"whole/shard-000000.tar must hold .* run again"):
        list(read_members(Store(str(tmp_path)), members))


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
    from urllib.parse import unquote

    for key in KEYS:
        folder, slash, base = member_name(key, "jpg").removesuffix(".jpg").rpartition("/")
        assert folder + slash + unquote(base) == key
        assert "." not in base


def test_shards_are_named_in_the_order_of_strings():
    names = [shard_name(number) for number in (0, 9, 10, 99_999, 100_000)]
    assert names == sorted(names)
    assert names[0] == "shard-000000"
