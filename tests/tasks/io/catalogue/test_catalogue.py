"""The catalogue: keys in their order over shards that lie over one another."""

import tracemalloc

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.io.catalogue import Catalogue, Known, Place, external_sort, read_shards, write_catalogue
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.shards import INDEX_SCHEMA
from tasks.io.shards.keys import ODD_NAME
from tasks.io.store import Store

ODD = f"{ODD_NAME}is not UTF-8: rename the file"


def table(shard, *keys, refused=()):
    """Rows of a shard; ``refused`` gives the reasons of some keys."""
    refused = dict(refused)
    return pa.Table.from_pylist(
        [
            {
                "key": key,
                "shard": shard,
                "source": f"{key}.png",
                "sha256": None if key in refused else f"digest of {key}",
                "status": "refused" if key in refused else "ok",
                "reason": refused.get(key),
            }
            for key in keys
        ],
        INDEX_SCHEMA,
    )


@pytest.fixture
def written(tmp_path):
    """Writes shards, as strings of one-letter keys or as tables, and opens their catalogue."""

    def write(*shards, tars=()):
        names = [f"shard-{number:06d}" for number in range(len(shards))]
        tables = [
            keys if isinstance(keys, pa.Table) else table(name, *keys)
            for name, keys in zip(names, shards, strict=True)
        ]
        tars = [*tars, *[None] * (len(shards) - len(tars))]
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        write_catalogue(
            zip(names, tars, tables, strict=True),
            folder / "index.parquet",
            folder / "shards.parquet",
        )
        return Catalogue.of(Store(str(tmp_path)), "data")

    return write


def letters(places):
    return "".join(place[0] for place in places)


def test_the_list_of_shards_in_the_index_is_the_one_beside_it(written, tmp_path):
    catalogue = written("abc", "", "d", tars=["x/1.tar", "x/2.tar"])
    assert list(catalogue.shards) == read_shards(Store(str(tmp_path)), "data")
    assert [tuple(entry) for entry in catalogue.shards] == [
        ("shard-000000", 0, 3, 3, "a", "c", "x/1.tar"),
        ("shard-000001", 1, 0, 0, None, None, "x/2.tar"),
        ("shard-000002", 1, 1, 1, "d", "d", None),
    ]


def test_keys_of_shards_that_follow_each_other_come_in_order(written):
    found = list(written("abc", "def", "g").keys())
    assert letters(found) == "abcdefg"
    assert found[3] == Place("d", "shard-000001")


@pytest.mark.parametrize(
    "shards",
    [
        ("aeim", "bfjn", "cgko", "dhlp"),
        ("bd", "fh", "ac", "eg"),
        ("z", "y", "x", "w"),
        ("az", "bc", "ef", "dy"),
    ],
)
def test_keys_of_shards_that_lie_over_one_another_come_in_order(written, shards):
    keys = sorted("".join(shards))
    found = list(written(*shards).keys())
    assert [place.key for place in found] == keys


@pytest.mark.parametrize("seed", range(10))
def test_many_shards_come_in_order_with_few_of_them_at_once(written, seed, monkeypatch):
    monkeypatch.setattr(external_sort.merged, "__defaults__", (3,))
    rng = np.random.default_rng(seed)
    keys = rng.permutation([f"{number:03d}" for number in range(200)])
    shards = [
        table(f"shard-{number:06d}", *sorted(part))
        for number, part in enumerate(np.array_split(keys, rng.integers(1, 40)))
    ]
    catalogue = written(*shards)
    found = list(catalogue.keys())
    assert [place.key for place in found] == sorted(keys)
    assert list(catalogue.offered()) == sorted(
        Known(row["key"], row["source"], row["shard"]) for t in shards for row in t.to_pylist()
    )


def test_shards_that_share_a_key_are_read_side_by_side(written):
    taken = {"c": "key taken: another file differs only in extension; rename one"}
    first = table("shard-000000", "a", "b", "c", refused=taken)
    later = table("shard-000001", "c", "d").to_pylist()
    later[0]["source"] = "c.jpg"  # sorts before the one that was there
    catalogue = written(first, pa.Table.from_pylist(later, INDEX_SCHEMA))
    assert [known[:2] for known in catalogue.offered()] == [
        ("a", "a.png"),
        ("b", "b.png"),
        ("c", "c.jpg"),
        ("c", "c.png"),
        ("d", "d.png"),
    ]
    assert letters(catalogue.keys()) == "abcd"


def test_refused_images_are_offered_and_no_keys(written):
    catalogue = written(table("shard-000000", "a", "b", refused={"a": "damaged: no end"}))
    assert letters(catalogue.keys()) == "b"
    assert letters(catalogue.offered()) == "ab"


def test_odd_names_stand_in_no_order_and_are_listed_apart(written):
    first = table("shard-000000", "z\\xff", "a", "b", refused={"z\\xff": ODD})
    later = table("shard-000001", "\\x01", refused={"\\x01": ODD})
    catalogue = written(first, later, "c")
    assert letters(catalogue.keys()) == letters(catalogue.offered()) == "abc"
    assert list(catalogue.odd()) == [
        ("z\\xff.png", "shard-000000"),
        ("\\x01.png", "shard-000001"),
    ]
    assert [(e.first, e.last) for e in catalogue.shards] == [("a", "b"), (None, None), ("c", "c")]


def test_accepted_rows_of_a_shard_come_whole_or_in_part(written):
    catalogue = written(table("shard-000000", "a", "b", refused={"a": "empty file"}))
    (entry,) = catalogue.shards
    assert catalogue.accepted(entry).equals(table("shard-000000", "b"), check_metadata=True)
    assert catalogue.accepted(entry, ("source", "status")).to_pylist() == [
        {"source": "b.png", "status": "ok"}
    ]


@pytest.mark.parametrize(
    ("other", "near"),
    [
        (("e",), [1]),
        (("ac", "bd"), [0, 1]),
        (("cd",), [0, 1]),
        (("A", "z"), []),
        (("az",), [0, 1, 2]),
        (("gx", "x"), [2]),
        (("",), []),
    ],
)
def test_shards_are_near_if_their_range_meets_one_of_the_other(written, other, near):
    asking = written(*other)
    catalogue = written("abc", "def", "ghi", "")
    found = sorted(entry.shard for entry in catalogue.near(asking).shards)
    assert found == [f"shard-{number:06d}" for number in near]


def test_only_shards_whose_range_holds_a_key_are_read_for_it(written, monkeypatch):
    catalogue, asked = written("abc", "def", "ghi", "bh"), []
    read = Catalogue.table
    monkeypatch.setattr(
        Catalogue, "table", lambda self, e, *rest: asked.append(e.shard) or read(self, e, *rest)
    )
    assert [entry.shard for entry in catalogue.holding("e")] == ["shard-000001"]
    assert sorted(asked) == ["shard-000001", "shard-000003"]


def test_a_shard_without_rows_has_an_empty_table(written):
    catalogue = written("a", "")
    assert catalogue.table(catalogue.shards[1]).schema == INDEX_SCHEMA
    assert catalogue.table(catalogue.shards[1], ["key"]).column_names == ["key"]


def test_a_data_set_without_one_row_has_a_catalogue(written):
    catalogue = written("", "")
    assert list(catalogue.keys()) == list(catalogue.rows()) == []


def test_tables_do_not_carry_the_list_of_all_shards(written):
    catalogue = written("abc")
    assert catalogue.schema.metadata is None
    assert catalogue.table(catalogue.shards[0]).schema.metadata is None
    assert catalogue.accepted(catalogue.shards[0]).schema.metadata is None


def test_an_index_in_a_bucket_is_read_by_way_of_a_copy(written, tmp_path):
    written("ac", "b")
    remote = Store(f"memory://{tmp_path.name}")
    for name in ("index.parquet", "shards.parquet"):
        remote.write(f"data/{name}", (tmp_path / "data" / name).read_bytes())
    assert letters(Catalogue.of(remote, "data").keys()) == "abc"
    fsspec.filesystem("memory").store.clear()


def test_a_catalogue_that_is_open_reads_on_when_the_index_is_replaced(written, tmp_path):
    catalogue = written("abc", "def")
    (tmp_path / "data" / "index.parquet").unlink()  # as a rename over it does
    written("xyz")
    assert letters(catalogue.keys()) == "abcdef"


def test_an_absent_index_is_told_with_the_command_that_makes_it_again(tmp_path):
    with pytest.raises(ArtifactDamaged, match=r"index\.parquet must be there, .*dotpipe repair"):
        Catalogue.of(Store(str(tmp_path)), "data")


def test_an_index_of_an_older_version_is_told_to_be_one(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(table("shard-000000", "a"), tmp_path / "data" / "index.parquet")
    with pytest.raises(StepMissing, match="must list its shards, but an older version wrote it"):
        Catalogue.of(Store(str(tmp_path)), "data")


def test_an_index_that_is_cut_short_is_told_to_be_damaged(written, tmp_path):
    written("abc")
    path = tmp_path / "data" / "index.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactDamaged, match=r"must be a whole Parquet file, .*dotpipe repair"):
        Catalogue.of(Store(str(tmp_path)), "data")


def test_rows_that_hold_other_bytes_are_told_to_be_damaged_when_they_are_read(written, tmp_path):
    written("abc", "def")
    path = tmp_path / "data" / "index.parquet"
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)
    catalogue = Catalogue.of(Store(str(tmp_path)), "data")
    for read in (catalogue.keys, catalogue.rows, catalogue.offered):
        with pytest.raises(ArtifactDamaged, match=r"data/index\.parquet must be a whole .*repair"):
            list(read())


def test_memory_does_not_grow_with_shards_that_all_lie_over_one_another(written):
    def peak(count):
        shards = [
            table(f"shard-{s:06d}", *(f"{row:04d}-{s:04d}" + "k" * 40 for row in range(200)))
            for s in range(count)
        ]
        catalogue = written(*shards)
        tracemalloc.start()
        places = catalogue.keys()
        assert sum(1 for _ in places) == 200 * count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(external_sort.WIDTH), peak(4 * external_sort.WIDTH)
    assert many < 2 * few  # measured 1.2: runs and their ranges grow, keys do not
