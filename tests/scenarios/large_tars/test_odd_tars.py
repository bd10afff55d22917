"""Large tars that are damaged, compressed or odd, from the tar to the enhanced images."""

import gzip
import io
import tarfile

import pytest
from tars.large_tars import members_of, png
from tars.odd_tars import tar_of

from tasks.io.shards import foreign_tars


def keys(*numbers):
    return [f"{n:03d}" for n in numbers]


def run_whole(made):
    """Run it; nothing may be left to do, or be damaged."""
    made.run()
    assert made.missing() == []
    assert made.damage() == []
    assert sorted(key for found in made.shards().values() for key in found) == made.enhanced()


@pytest.mark.parametrize("kind", ["damaged", "truncated"])
def test_a_tar_is_read_up_to_its_damage_and_its_last_row_says_so(tars, kind):
    made = tars()
    path = made.write("b", members_of(range(12)))
    data = bytearray(path.read_bytes())
    place = data.index(b"007.png")
    if kind == "damaged":
        data[place : place + 512] = b"\xff" * 512
    else:
        del data[place + 700 :]
    path.write_bytes(data)
    run_whole(made)
    assert made.enhanced() == keys(*range(7))
    (reason,) = made.reasons().values()
    assert reason.startswith("tar damaged after 1")
    assert list(made.shards()) == ["b.tar#0", "b.tar#1", "b.tar#2"]


def test_a_tar_that_is_mended_makes_anew_what_the_damage_had_cut_off_alone(tars):
    made = tars()
    path = made.write("b", members_of(range(12)))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"007.png") + 700])
    made.run()
    before = made.made()
    path.write_bytes(data)
    run_whole(made)
    assert made.enhanced() == keys(*range(12))
    for name in ("datasets/run/shard-000000", "datasets/run/shard-000001"):
        assert made.made()[name] == before[name]


@pytest.mark.parametrize(
    ("name", "compress"),
    [("gzip", gzip.compress), ("zstd", lambda data: b"\x28\xb5\x2f\xfd" + data)],
)
def test_a_compressed_tar_is_one_refused_row_that_says_what_to_do(tars, name, compress):
    made = tars()
    inner = tar_of([("x.npy", bytes(range(256)) * 40), *members_of(range(12))])
    made.write("b", None, compress(inner))
    assert (made.folder / "in" / "b.tar").stat().st_size > 15_000
    made.write("c", members_of(range(3)))
    run_whole(made)
    assert made.enhanced() == keys(0, 1, 2)
    assert [*made.reasons().values()] == [
        f"tar damaged after 0 members: compressed with {name}; decompress it first"
    ]


def odd(name, kind=tarfile.REGTYPE, data=b"", **fields):
    """A member as bytes: its PAX headers, header and content."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    head = info.tobuf(tarfile.PAX_FORMAT)
    return head + data + bytes(-len(data) % 512)


def test_odd_members_are_told_once_and_images_among_them_are_enhanced(tars):
    made, long = tars(), "n" * 300
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole.png"}
    members = [
        odd("a.png", data=png(1)),
        odd(f"{long}.png", data=png(2)),
        odd("b.png", tarfile.LNKTYPE, linkname="a.png"),
        odd("hole.png", data=bytes(512) + png(3), pax_headers=sparse),
        odd("c.png", data=png(4)),
        odd("a.png", data=png(5)),
        odd("empty.png"),
        odd("empty.txt"),
        odd("big.npy", data=bytes(40_000)),
        odd("d.png", data=png(6)),
        odd("a.png", data=png(7)),
        odd("e.png", data=png(8)),
        odd("e.txt", data=b""),
    ]
    made.write("b", None, b"".join(members) + bytes(1024))
    run_whole(made)
    assert made.enhanced() == sorted(["a", "c", "d", "e", long])
    assert sorted(made.reasons()) == ["a", "b", "empty", "hole"]
    assert len(made.shards()) == 3
    whole = tars(workspace="whole", shards={"cut_tars_above": None})
    whole.run()
    assert whole.reasons() == made.reasons()
    assert whole.enhanced() == made.enhanced()


def test_a_large_tar_of_one_image_is_one_part_and_one_of_what_takes_much_room_before_it(tars):
    made = tars(shards={"cut_tars_above": 1})
    made.write("a", members_of([4]))
    made.write("b", [("x.npy", bytes(50_000)), *members_of([5])])
    run_whole(made)
    assert made.shards() == {"a.tar#0": ["004"], "b.tar#0": [], "b.tar#1": ["005"]}


def test_parts_without_any_row_are_shards_without_images(tars, monkeypatch):
    monkeypatch.setattr(foreign_tars, "MOST_REFUSED", 4)
    made = tars(shards={"cut_tars_above": 10_000})
    refused = [(f"../{n}.jpg", bytes(800)) for n in range(14)]
    others = [(f"{n}.npy", bytes(1000)) for n in range(20)]
    made.write("b", [*refused, *others, *members_of(range(4))])
    run_whole(made)
    assert made.enhanced() == keys(0, 1, 2, 3)
    reasons = made.reasons()
    assert len(reasons) == 5
    assert reasons["b"] == "more members refused: 10 after the first 4"
    assert [] in made.shards().values()


def test_a_tar_of_refused_members_alone_among_others_is_cut_and_told(tars):
    made = tars()
    made.write("b", [(f"../{n}.jpg", bytes(3000)) for n in range(8)])
    made.write("c", members_of(range(3)))
    run_whole(made)
    assert {tar: len(found) for tar, found in made.shards().items()} == {
        "b.tar#0": 0,
        "b.tar#1": 0,
        "b.tar#2": 0,
        "c.tar#0": 3,
    }
    assert len(made.reasons()) == 8


def test_a_tar_without_any_image_or_member_says_that_there_is_none(tars):
    made = tars()
    made.write("b", None, bytes(20_480))
    made.write("c", members_of(range(3)))
    run_whole(made)
    assert made.shards() == {"b.tar#0": [], "c.tar#0": keys(0, 1, 2)}


def test_images_are_in_the_shards_of_whatever_is_read_first(tars):
    made = tars()
    first, second = io.BytesIO(tar_of(members_of(range(6)))), tar_of(members_of(range(6, 9)))
    made.write("b", None, first.getvalue() + second)
    run_whole(made)
    assert made.shards() == {
        "b.tar#0": keys(0, 1, 2),
        "b.tar#1": keys(3, 4, 5),
        "b.tar#2": keys(6, 7, 8),
    }
