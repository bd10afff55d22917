"""Large tars cut into parts: whole samples, which together give just what the whole tar gives."""

import io
import random
from threading import Event, Timer

import pytest
from tars.odd_tars import LARGEST, odd_tar, tar_of

from tasks.io.images import Limits
from tasks.io.shards import foreign_tars
from tasks.io.shards.cuts import walk
from tasks.io.shards.cuts.scan import PartSize, Source, scan
from tasks.io.shards.foreign_tars import read_samples
from tasks.io.shards.samples import LooseSide, Sample
from tasks.io.shards.sides import SIDE_KINDS

LIMITS = Limits(max_pixels=100, max_bytes=LARGEST)
ALL = 1 << 60


def parts_of(data, samples, size_bytes=ALL, segment=1 << 28, key_of=None):
    fetch = lambda start, end: data[start:end]  # noqa: E731
    source = Source("x/big.tar", fetch, len(data))
    return scan(source, LIMITS, SIDE_KINDS, PartSize(samples, size_bytes), key_of, segment)


def read_by_parts(data, parts):
    for part, across in parts:
        stream = io.BytesIO(data[part.start : part.end])
        yield list(read_samples(stream, LIMITS, "x/big.tar", SIDE_KINDS, across.before(part)))


def read_as_one(data):
    return list(read_samples(io.BytesIO(data), LIMITS, "x/big.tar", SIDE_KINDS))


@pytest.mark.parametrize("seed", range(120))
def test_the_parts_of_a_tar_give_together_what_the_whole_gives(seed):
    data = odd_tar(seed)
    expected = read_as_one(data)
    for samples, segment in ((1, 512), (3, 5000), (10, 20_000), (7, ALL)):
        parts = parts_of(data, samples, segment=segment)
        found = list(read_by_parts(data, parts))
        assert [sample for part in found for sample in part] == expected
        places = [(part.start, part.end) for part, _ in parts]
        assert [start for start, _ in places] == [0, *(end for _, end in places[:-1])]
        assert places[-1][1] == len(data)
        counted = [sum(isinstance(sample, Sample) for sample in part) for part in found]
        assert [part.samples for part, _ in parts] == counted


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_tar_gives_in_parts_what_it_gives_as_one(seed):
    data = bytearray(odd_tar(seed) + odd_tar(seed + 1000))
    place = seed * 7919 % len(data)
    if seed % 2:
        data[place // 512 * 512 : place // 512 * 512 + 4] = b"\x01\x02\x03\x04"
    else:
        del data[place:]
    data = bytes(data)
    for segment in (512, 3000, ALL):
        found = read_by_parts(data, parts_of(data, 2, segment=segment))
        assert [sample for part in found for sample in part] == read_as_one(data)


@pytest.mark.parametrize("seed", range(40))
def test_a_tar_that_was_changed_anyhow_gives_in_parts_what_it_gives_as_one(seed):
    draw, data = random.Random(seed), bytearray(odd_tar(seed + 2000))
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) or 1)
        block = place // 512 * 512
        field = draw.choice([0, 100, 124, 148, 156, 257, 345])  # of a header, if it is one
        change = draw.choice(["byte", "less", "again", "zeros"])
        if change == "byte" and block + 512 <= len(data):
            data[block + field] = draw.randrange(256)
        elif change == "less":
            del data[place : place + draw.choice([1, 512, 5000])]
        elif change == "again":
            data[place:place] = data[block : block + draw.choice([512, 1024, 3000])]
        else:
            data[block:block] = bytes(512 * draw.randint(1, 4))
    for samples, segment in ((1, 512), (3, 4096), (2, ALL)):
        found = read_by_parts(bytes(data), parts_of(bytes(data), samples, segment=segment))
        assert [sample for part in found for sample in part] == read_as_one(bytes(data))


def test_a_part_ends_with_the_sample_that_fills_it_by_number_or_by_bytes():
    data = tar_of([(f"{n:02d}.{end}", b"1" * 900) for n in range(10) for end in ("jpg", "txt")])
    assert [part.samples for part, _ in parts_of(data, 4)] == [4, 4, 2]
    assert [part.samples for part, _ in parts_of(data, 4, size_bytes=2 * 3072)] == [2] * 5
    assert [part.samples for part, _ in parts_of(data, 99)] == [10]


def test_what_a_tar_gains_at_its_end_leaves_earlier_parts_as_they_are():
    data = tar_of([(f"{n:02d}.jpg", b"1") for n in range(10)])
    more = data + tar_of([(f"{n:02d}.jpg", b"1") for n in range(10, 13)])
    before, after = parts_of(data, 4), parts_of(more, 4)
    assert [part.number for part, _ in after] == [0, 1, 2, 3]
    assert after[:2] == before[:2]


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_key_that_comes_again_in_another_part_is_refused_there(cut):
    data = tar_of(
        [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.png", b"3"), ("c.jpg", b"4"), ("a.bmp", b"")]
    )
    found = [sample for part in read_by_parts(data, parts_of(data, cut)) for sample in part]
    assert [(sample.key, sample.image) for sample in found] == [
        ("a", b"1"),
        ("b", b"2"),
        ("a", None),
        ("c", b"4"),
        ("a", None),
    ]


def test_where_sides_lie_that_stand_far_from_their_image_is_known_to_its_part():
    data = tar_of(
        [
            ("b.json", b"[1]"),
            ("a.jpg", b"1"),
            ("b.jpg", b"2"),
            ("c.jpg", b"3"),
            ("a.txt", b"cap"),
            ("b.cls", b"x" * (1 << 20) + b"x"),
            ("d.txt", b"of none"),
            ("c.txt", b"4"),
        ]
    )
    parts = parts_of(data, 1)
    sides = [[(s.kind, data[s.offset :][: s.size], s.reason) for s in a.sides] for _, a in parts]
    large = "side left out: .cls of 1048577 bytes, limit 1048576"
    assert sides == [
        [("txt", b"cap", None)],
        [("json", b"[1]", None), ("cls", b"", large)],
        [],
    ]
    assert parts[-1][0].samples == 1
    loose = [s for part in read_by_parts(data, parts) for s in part if isinstance(s, LooseSide)]
    assert [side.key for side in loose] == ["b", "a", "b", "d", "c"]


def test_keys_count_as_the_corpus_changes_them():
    data = tar_of([("a_net.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3"), ("a.txt", b"4")])
    parts = parts_of(data, 1, key_of=lambda key: key.removesuffix("_net"))
    assert [len(across.renamed) for _, across in parts] == [0, 0, 1]
    assert [len(across.taken) for _, across in parts] == [0, 0, 0]
    assert [across.sides for _, across in parts] == [(), (), ()]


def test_refused_members_beyond_those_that_have_rows_are_counted_over_all_parts(monkeypatch):
    monkeypatch.setattr(foreign_tars, "MOST_REFUSED", 5)
    data = tar_of(
        [
            (f"../{number}.jpg", b"1") if number % 3 else (f"{number}.jpg", b"1")
            for number in range(30)
        ]
    )
    found = [sample for part in read_by_parts(data, parts_of(data, 4)) for sample in part]
    assert found == read_as_one(data)
    assert found[-1].reason == "more members refused: 15 after the first 5"


def test_no_more_members_are_held_than_may_be_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(walk, "MOST_HELD", 3)
    data = tar_of([(f"{number:02d}.jpg", b"1") for number in range(50)])
    for segment in (10_000, ALL):
        found = [s for p in read_by_parts(data, parts_of(data, 4, segment=segment)) for s in p]
        assert found == read_as_one(data)


def test_what_looks_like_a_header_within_a_content_changes_nothing():
    inner = tar_of([(f"in-{n}.jpg", b"1" * 700) for n in range(40)])
    data = tar_of([("a.jpg", b"1"), ("inner.npy", inner), ("b.jpg", b"2"), ("c.jpg", b"3")])
    for segment in (512, 1024, 4096, 10_240):
        found = [
            s for part in read_by_parts(data, parts_of(data, 1, segment=segment)) for s in part
        ]
        assert [sample.key for sample in found] == ["a", "b", "c"]


def test_threads_that_walk_ahead_ask_for_nothing_more_once_a_scan_has_ended():
    members = [(f"{number}.jpg", bytes(300_000)) for number in range(100)]
    data, asked, going_on = tar_of(members), [], Event()

    def fetch(start, end):
        asked.append(start)
        if start >= 4_000_000:  # what comes behind the first segment
            going_on.wait(60)
        return data[start:end]

    def stop(_place):
        Timer(0.3, going_on.set).start()
        raise KeyboardInterrupt

    source = Source("x/big.tar", fetch, len(data), stop)
    with pytest.raises(KeyboardInterrupt):
        scan(source, LIMITS, SIDE_KINDS, PartSize(3, ALL), segment=3_000_000)
    assert len(asked) <= 30  # a hundred members have headers of their own
