"""Sorted streams become one, with few of them in memory."""

import gc
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from tasks.io.catalogue import external_sort
from tasks.io.catalogue.external_sort import in_order, merged
from tasks.io.errors import StoreRefused


class Row(NamedTuple):
    key: str
    place: str


def rows(seed, count=7):
    rng = np.random.default_rng(seed)
    letters = list("ab/é日𝄞")
    return sorted(Row("".join(rng.choice(letters, 3)), str(seed)) for _ in range(count))


@pytest.mark.parametrize("streams", [0, 1, 3, 4, 10, 30])
def test_the_order_is_that_of_one_sort_whatever_the_width(streams):
    lists = [rows(seed) for seed in range(streams)]
    found = list(merged(map(iter, lists), width=3))
    assert found == sorted(row for one in lists for row in one)
    assert all(isinstance(row, Row) for row in found)


def test_long_streams_go_by_way_of_a_file_whole():
    lists = [[Row(f"{number:06d}", str(seed)) for number in range(3000)] for seed in range(3)]
    assert list(merged(map(iter, lists), width=2)) == sorted(row for one in lists for row in one)


def test_empty_streams_do_no_harm():
    lists = [[], rows(0), [], [], rows(1), []]
    assert list(merged(map(iter, lists), width=2)) == sorted(lists[1] + lists[4])


def test_no_more_streams_are_under_way_than_the_width():
    under_way, seen = set(), []

    def stream(seed):
        under_way.add(seed)
        seen.append(len(under_way))
        yield from rows(seed)
        under_way.discard(seed)

    assert len(list(merged((stream(seed) for seed in range(20)), width=4))) == 140
    assert max(seen) == 4


def test_nothing_is_left_on_the_disk_by_a_reader_that_stops_early(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reader = merged((iter(rows(seed)) for seed in range(9)), width=2)
    next(reader)
    assert list(Path(tmp_path).iterdir())
    reader.close()
    gc.collect()
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 50])
def test_tuples_in_no_order_are_sorted_whatever_number_is_held(count):
    mixed = [row for seed in range(count) for row in reversed(rows(seed, 1 + seed % 3))]
    found = list(in_order(iter(mixed), most=7))
    assert found == sorted(mixed)
    assert all(isinstance(row, Row) for row in found)


def test_a_full_temporary_folder_is_told_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = pa.OSFile
    monkeypatch.setattr(external_sort.pa, "OSFile", lambda _, mode: real("/dev/full", mode))
    lists = [[Row(f"{number:06d}", str(seed)) for number in range(3000)] for seed in range(3)]
    with pytest.raises(StoreRefused, match=f"{tmp_path}, where files wait.*No space left"):
        list(merged(map(iter, lists), width=2))
