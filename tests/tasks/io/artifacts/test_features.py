"""Tables of features: round trips, one answer for every sharding, other readers."""

import hashlib
import itertools

import duckdb
import polars
import pyarrow.parquet as pq
import pytest
import torch

from dot_kernels.metrics import ClassSums, FeatureStatistics
from tasks.io.artifacts import features
from tasks.io.artifacts.features import (
    FeatureWriter,
    read_apart,
    read_class_sums,
    read_statistics,
    save_class_sums,
)
from tasks.io.draws import draw_of, draws_of
from tasks.io.errors import ArtifactDamaged
from tasks.io.store import Store

D = 5
KEYS = [f"folder/{number:03d}" for number in range(60)]
AWKWARD = ["", "a b", "dot.dot", "l'image", "ümlaut/日本語", "😀", "zero\0byte", "é", "e\u0301"]


@pytest.fixture
def store(tmp_path):
    (tmp_path / "tables").mkdir()
    return Store(str(tmp_path / "tables"))


@pytest.fixture
def rows(rng):
    """Features of the sixty keys."""
    return torch.randn(len(KEYS), D, generator=rng) + 10


@pytest.fixture
def write(store):
    """Writes a table in batches of so many rows."""

    def write_table(name, keys, rows, batch=7):
        path = store.local(name)
        writer = FeatureWriter(path, D, "tiny")
        for start in range(0, len(keys), batch):
            writer.add(keys[start : start + batch], list(rows[start : start + batch]))
        writer.close()
        return path

    return write_table


@pytest.fixture
def write_shards(write):
    """Cuts keys and rows into tables; returns their names."""

    def write_cut(rows, cuts, batch=7):
        bounds = [0, *cuts, len(KEYS)]
        names = []
        for start, stop in itertools.pairwise(bounds):
            names.append(f"{'-'.join(map(str, cuts))}@{start}-{len(names)}.parquet")
            write(names[-1], KEYS[start:stop], rows[start:stop], batch)
        return names

    return write_cut


def assert_identical(a, b):
    """Bit for bit."""
    for mine, other in zip(a.groups, b.groups, strict=True):
        assert mine.count == other.count
        assert torch.equal(mine.mean, other.mean)
        assert torch.equal(mine.scatter, other.scatter)
    assert torch.equal(a.features, b.features)
    assert torch.equal(a.draws, b.draws)
    assert a.capacity == b.capacity


# Draws


def test_a_draw_is_the_start_of_a_digest_of_the_key():
    for key in ["a", *AWKWARD]:
        digits = hashlib.sha256(b"features\0" + key.encode()).hexdigest()
        assert draw_of(key) == int(digits[:16], 16) // 2
    assert draws_of(["a", "b"]).tolist() == [draw_of("a"), draw_of("b")]
    assert draws_of([]).shape == (0,)
    assert draws_of([]).dtype == torch.int64


def test_draws_are_spread_evenly_over_63_bits():
    draws = draws_of(f"image-{number}" for number in range(5000))
    assert draws.min() >= 0
    shares = torch.bincount(draws % 10, minlength=10) / 5000
    assert (shares - 0.1).abs().max() < 0.02  # five standard deviations of a share
    assert (draws.double() / 2**63).mean() == pytest.approx(0.5, abs=0.02)
    assert len(set(draws.tolist())) == 5000


def test_keys_that_only_look_alike_have_different_draws():
    assert len({draw_of(key) for key in AWKWARD}) == len(AWKWARD)


def test_half_a_character_has_a_draw_but_no_place_in_a_table(store):
    """Shards escape such names, so none comes so far; Parquet's strings are UTF-8."""
    assert draw_of("\udcff") != draw_of("\udcfe")
    writer = FeatureWriter(store.local("t.parquet"), D, "tiny")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        writer.add(["\udcff"], [torch.zeros(D)])
    writer.close()


# Tables


def test_a_table_holds_the_keys_and_the_bits_of_their_features(write, rows):
    table = pq.read_table(write("t.parquet", KEYS, rows))
    assert table.column_names == ["key", "features"]
    assert table["key"].to_pylist() == KEYS
    assert torch.equal(torch.tensor(table["features"].to_pylist()), rows)


def test_a_table_says_what_its_columns_are(write, rows):
    schema = pq.read_schema(write("t.parquet", KEYS, rows))
    assert str(schema.field("key").type) == "string"
    assert str(schema.field("features").type) == f"fixed_size_list<element: float>[{D}]"
    assert schema.field("features").metadata[b"unit"] == b"1"


def test_other_readers_see_the_same_table(write, rows):
    path = write("t.parquet", KEYS, rows)
    by_duckdb = duckdb.sql(f"select key, features from '{path}'").fetchall()
    assert [key for key, _ in by_duckdb] == KEYS
    assert torch.equal(torch.tensor([list(row) for _, row in by_duckdb]), rows)
    by_polars = polars.read_parquet(path)
    assert by_polars["key"].to_list() == KEYS
    assert torch.equal(torch.tensor(by_polars["features"].to_list()), rows)


def test_awkward_keys_come_back_as_they_were(write, rows):
    path = write("t.parquet", AWKWARD, rows[: len(AWKWARD)])
    assert pq.read_table(path)["key"].to_pylist() == AWKWARD
    assert polars.read_parquet(path)["key"].to_list() == AWKWARD


def test_values_beyond_numbers_come_back_as_they_were(write, store):
    odd = torch.tensor([[0.0, -0.0, 1e-45, 3.4e38, 1.0]])
    (row,) = pq.read_table(write("t.parquet", ["a"], odd))["features"].to_pylist()
    assert torch.equal(torch.tensor([row]).view(torch.int32), odd.view(torch.int32))


def test_an_empty_table_is_a_table(store, write):
    path = write("t.parquet", [], torch.zeros(0, D))
    assert pq.read_table(path).num_rows == 0
    assert polars.read_parquet(path).columns == ["key", "features"]
    assert read_statistics(store, ["t.parquet"], 5) is None


def test_adding_nothing_adds_nothing(store):
    writer = FeatureWriter(store.local("t.parquet"), D, "tiny")
    writer.add([], [])
    writer.add(["a"], [torch.ones(D)])
    writer.add([], [])
    writer.close()
    assert pq.read_table(store.local("t.parquet"))["key"].to_pylist() == ["a"]


def test_closing_twice_is_fine(store):
    writer = FeatureWriter(store.local("t.parquet"), D, "tiny")
    writer.add(["a"], [torch.ones(D)])
    writer.close()
    size = store.local("t.parquet").stat().st_size
    writer.close()
    assert store.local("t.parquet").stat().st_size == size


@pytest.mark.parametrize(
    ("keys", "row"),
    [(["a"], torch.ones(D - 1)), (["a"], torch.ones(2 * D)), (["a", "b"], torch.ones(D))],
)
def test_rows_that_do_not_fit_are_refused(store, keys, row):
    writer = FeatureWriter(store.local("t.parquet"), D, "tiny")
    with pytest.raises(ValueError, match=r"multiple of the list size|same length"):
        writer.add(keys, [row])
    writer.close()


# Statistics


def test_statistics_are_those_of_the_keys_and_rows(store, write, rows):
    write("t.parquet", KEYS, rows)
    expected = FeatureStatistics.of(rows, draws_of(KEYS), capacity=11)
    assert_identical(read_statistics(store, ["t.parquet"], 11), expected)


@pytest.mark.parametrize("block", [1, 8, 20, 60, 64])
def test_statistics_are_bit_identical_whatever_the_sharding(
    store, write_shards, rows, monkeypatch, block
):
    monkeypatch.setattr(features, "BLOCK", block)
    whole = read_statistics(store, write_shards(rows, ()), 11)
    assert whole.count == len(KEYS)
    for cuts, batch in [
        ((30,), 7),
        ((1, 2, 3), 1),
        ((0, 10, 10, 59, 60), 60),
        (tuple(range(8, 60, 8)), 3),
        (tuple(range(1, 60)), 7),
    ]:
        names = write_shards(rows, cuts, batch)
        assert_identical(read_statistics(store, names, 11), whole)


def test_blocks_are_cut_in_the_order_of_keys(store, write_shards, rows, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 25)
    expected = sum(
        (
            FeatureStatistics.of(rows[start:stop], draws_of(KEYS[start:stop]), capacity=4)
            for start, stop in ((25, 50), (50, 60))
        ),
        start=FeatureStatistics.of(rows[:25], draws_of(KEYS[:25]), capacity=4),
    )
    assert_identical(read_statistics(store, write_shards(rows, (13, 40)), 4), expected)


def test_of_no_images_there_are_no_statistics(store):
    assert read_statistics(store, [], 5) is None
    with pytest.raises(ArtifactDamaged, match=r"no\.parquet must be there, .*dotpipe repair"):
        read_statistics(store, ["no.parquet"], 5)


def test_features_that_are_cut_short_are_told_to_be_damaged(store):
    store.write("x.parquet", b"PAR1 and no more")
    with pytest.raises(ArtifactDamaged, match=r"x\.parquet must be a whole Parquet .*repair"):
        read_statistics(store, ["x.parquet"], 5)


@pytest.mark.parametrize("capacity", [0, 1, 59, 60, 1000])
def test_the_sample_is_that_of_the_smallest_draws_over_all_tables(
    store, write_shards, rows, monkeypatch, capacity
):
    monkeypatch.setattr(features, "BLOCK", 9)
    sample = read_statistics(store, write_shards(rows, (5, 31)), capacity)
    turns = sorted(range(len(KEYS)), key=lambda index: draw_of(KEYS[index]))
    kept = sorted(turns[:capacity])
    assert torch.equal(sample.features, rows[kept])
    assert sample.draws.tolist() == [draw_of(KEYS[index]) for index in kept]


def test_statistics_are_the_same_from_a_bucket(tmp_path, store, write_shards, rows):
    names = write_shards(rows, (20, 41))
    remote = Store(f"memory://{tmp_path.name}/features")
    for name in names:
        with remote.publish(name) as aside:
            aside.write_bytes(store.read(name))
    assert_identical(read_statistics(remote, names, 11), read_statistics(store, names, 11))


def test_features_that_are_not_finite_are_refused(store, write):
    write("t.parquet", ["a", "b"], torch.tensor([[1.0] * D, [torch.nan] * D]))
    with pytest.raises(ValueError, match="samples must be finite"):
        read_statistics(store, ["t.parquet"], 5)


# Class sums


@pytest.fixture
def class_sums(rng):
    """Sums of sixty images in four classes, cut into pieces."""
    logits = torch.randn(len(KEYS), 4, generator=rng)

    def cut(*bounds):
        pieces = itertools.pairwise(bounds)
        return [ClassSums.of(logits[a:b], draws_of(KEYS[a:b])) for a, b in pieces]

    return cut


def assert_equal_sums(a, b):
    assert torch.equal(a.counts, b.counts)
    assert torch.equal(a.probabilities, b.probabilities)
    assert torch.equal(a.negative_entropies, b.negative_entropies)


def test_class_sums_come_back_bit_for_bit(store, class_sums):
    (sums,) = class_sums(0, 60)
    save_class_sums(sums, store.local("s.safetensors"))
    assert_equal_sums(read_class_sums(store, ["s.safetensors"]), sums)


def test_class_sums_of_files_are_added_in_order(store, class_sums):
    first, second, third = class_sums(0, 7, 7, 60)
    for name, sums in {"a": first, "b": second, "c": third}.items():
        save_class_sums(sums, store.local(f"{name}.safetensors"))
    names = ["a.safetensors", "b.safetensors", "c.safetensors"]
    assert_equal_sums(read_class_sums(store, names), first + second + third)


def test_of_no_files_there_are_no_class_sums(store):
    assert read_class_sums(store, []) is None
    with pytest.raises(FileNotFoundError):
        read_class_sums(store, ["no.safetensors"])


def test_images_whose_keys_are_left_out_do_not_count(store, write_shards, rows):
    left_out = frozenset(KEYS[3::4])
    kept = [number for number, key in enumerate(KEYS) if key not in left_out]
    found = read_statistics(store, write_shards(rows, (13, 40)), 100, left_out)
    expected = FeatureStatistics.of(rows[kept], draws_of([KEYS[i] for i in kept]), capacity=100)
    assert_identical(found, expected)


def test_images_that_stand_apart_have_the_statistics_that_others_lack(store, write_shards, rows):
    keys = frozenset(KEYS[3::4])
    names = write_shards(rows, (13, 40))
    others, own, draws = read_apart(store, names, 11, keys)
    assert_identical(others, read_statistics(store, names, 11, keys))
    assert_identical(own, read_statistics(store, names, 11, set(KEYS) - keys))
    assert torch.equal(draws, draws_of(KEYS))
    assert read_apart(store, names, 11, frozenset()).fitted is None
    assert read_apart(store, names, 11, frozenset(KEYS)).others is None
