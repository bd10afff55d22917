"""What a catalogue has of the images of another's shards, and what it costs to ask."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.io.catalogue import Catalogue, counterparts, external_sort, write_catalogue
from tasks.io.shards import INDEX_SCHEMA
from tasks.io.store import Store


def table(shard, keys, refused=()):
    return pa.Table.from_pylist(
        [
            {
                "key": key,
                "shard": shard,
                "source": f"{key}.png",
                "size": None if key in refused else 1 << 40,
                "sha256": None if key in refused else f"digest of {key}",
                "status": "refused" if key in refused else "ok",
                "reason": "empty file" if key in refused else None,
            }
            for key in keys
        ],
        INDEX_SCHEMA,
    )


@pytest.fixture
def written(tmp_path):
    """Writes a data set of shards with these keys; ``refused`` ones are in none."""

    def write(name, *shards, refused=()):
        (tmp_path / name).mkdir()
        names = [f"shard-{number:06d}" for number in range(len(shards))]
        write_catalogue(
            (
                (shard, None, table(shard, keys, refused))
                for shard, keys in zip(names, shards, strict=True)
            ),
            tmp_path / name / "index.parquet",
            tmp_path / name / "shards.parquet",
        )
        return Catalogue.of(Store(str(tmp_path)), name)

    return write


@pytest.fixture
def reads(monkeypatch):
    """Counts the row groups that each catalogue reads, by its shards and columns."""
    asked, read = Counter(), Catalogue.table

    def counted(self, entry, columns=None):
        asked[entry.shard, columns is None or "sha256" in columns] += 1
        return read(self, entry, columns)

    monkeypatch.setattr(Catalogue, "table", counted)
    return asked


def keys_by_shard(ours, theirs):
    found = {entry.shard: rows["key"].to_pylist() for entry, rows in counterparts(ours, theirs)}
    return ["".join(found[entry.shard]) for entry in ours.shards]


@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        (["abc", "def"], ["abc", "def"], ["abc", "def"]),
        (["abc", "def"], ["ab", "cd", "ef"], ["abc", "def"]),
        (["bd", "fh"], ["abcdefgh"], ["bd", "fh"]),
        (["abhxz"], ["aeim", "bfjn", "cgko", "dhlp"], ["abh"]),
        (["aeim", "bfjn"], ["af", "bm", "ei"], ["aeim", "bf"]),
        (["af", "", "bm"], ["aeim", "bfjn"], ["af", "", "bm"]),
        (["x", "y"], ["abc"], ["", ""]),
        (["a", "z"], ["", "mn", ""], ["", ""]),
        (["a"], [""], [""]),
    ],
)
def test_every_shard_gets_the_rows_of_its_keys_in_their_order(written, ours, theirs, shared):
    assert keys_by_shard(written("ours", *ours), written("theirs", *theirs)) == shared


def test_rows_are_whole_and_say_where_they_lie(written):
    ours, theirs = written("ours", "af"), written("theirs", "aeim", "bfjn")
    ((entry, rows),) = counterparts(ours, theirs)
    both = pa.concat_tables([table("shard-000000", "a"), table("shard-000001", "f")])
    assert entry.shard == "shard-000000"
    assert rows.equals(both, check_metadata=True)


def test_images_that_either_refused_have_no_counterpart(written):
    ours, theirs = written("ours", "abc", refused="a"), written("theirs", "abc", refused="b")
    assert keys_by_shard(ours, theirs) == ["c"]


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_shards_give_what_a_search_gives_with_few_rows_at_once(written, seed, monkeypatch):
    monkeypatch.setattr(external_sort.merged, "__defaults__", (3,))
    monkeypatch.setattr(external_sort.in_order, "__defaults__", (7,))
    rng = np.random.default_rng(seed)
    keys = np.array([f"{number:03d} 日𝄞é"[: rng.integers(3, 8)] for number in range(200)])

    def shuffled(name, count):
        some = rng.permutation(keys)[:180]
        parts = [sorted(map(str, part)) for part in np.array_split(some, count)]
        return written(name, *parts)

    ours, theirs = shuffled("ours", 23), shuffled("theirs", 31)
    whole = pa.concat_tables([theirs.table(entry) for entry in theirs.shards])
    found = dict(counterparts(ours, theirs))
    assert found.keys() == set(ours.shards)
    for entry, rows in found.items():
        hit = pc.is_in(whole["key"], ours.table(entry)["key"].combine_chunks())
        assert rows.equals(whole.filter(hit).sort_by("key"), check_metadata=True)


def test_shards_of_one_name_with_all_keys_cost_one_row_group_each(written, reads):
    ours, theirs = written("ours", "ac", "df"), written("theirs", "abc", "def")
    list(counterparts(ours, theirs))
    assert reads == {(e.shard, whole): 1 for e in ours.shards for whole in (False, True)}


def test_one_image_without_a_counterpart_reads_its_neighbourhood_only(written, reads):
    ours, theirs = written("ours", "ac", "dx", "gi"), written("theirs", "abc", "def", "ghi")
    assert keys_by_shard(ours, theirs) == ["ac", "d", "gi"]
    whole = {shard: count for (shard, is_whole), count in reads.items() if is_whole}
    assert whole == {"shard-000000": 1, "shard-000001": 2, "shard-000002": 2}


def test_every_row_group_is_read_twice_at_most_however_keys_are_shuffled(written, reads):
    rng = np.random.default_rng(0)
    keys = [f"{number:05d}" for number in range(1200)]

    def shuffled(name, shards):
        parts = np.array_split(rng.permutation(keys)[1:], shards)  # one image is in neither
        return written(name, *(sorted(map(str, part)) for part in parts))

    ours, theirs = shuffled("ours", 100), shuffled("theirs", 120)
    assert sum(rows.num_rows for _, rows in counterparts(ours, theirs)) >= 1198
    assert max(reads.values()) <= 2
    assert sum(reads.values()) <= 2 * (100 + 120)


def test_no_more_rows_than_told_are_sorted_at_once(written, monkeypatch):
    held = []
    monkeypatch.setattr(external_sort.in_order, "__defaults__", (5,))
    spilled = external_sort._spilled

    def watched(rows, path):
        batch = list(rows)
        held.append(len(batch))
        return spilled(iter(batch), path)

    monkeypatch.setattr(external_sort, "_spilled", watched)
    ours, theirs = written("ours", "acegikmoqs", "bdfhjlnprt"), written("theirs", "abcdefghijkl")
    assert keys_by_shard(ours, theirs) == ["acegik", "bdfhjl"]
    assert held == [5, 5, 2]
