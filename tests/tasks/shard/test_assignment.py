"""Files stay in the shard they are in, whatever comes and goes around them."""

import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.shards import INDEX_SCHEMA
from tasks.io.shards.keys import ODD_NAME
from tasks.io.store import Entry, stem
from tasks.shard.assignment import _KnownShards, assign_files, free_shards
from tasks.shard.image_files import SourceFile, list_images


class Folder:
    """A store that lists paths with their versions, as a real one does."""

    url = "folder"

    def __init__(self, versions):
        self._versions = versions

    def is_folder(self):
        return True

    def list(self, _prefix, _without=None, _key_of=None):
        for path in sorted(self._versions, key=lambda path: (stem(path), path)):
            yield Entry(path, 1, self._versions[path], stem(path))


def rows_of(assigned):
    """What the index says of a shard's files: refused where the listing refused them."""
    return [
        {
            "key": file.key,
            "shard": assigned.shard,
            "source": file.path,
            "status": "refused" if file.refusal else "ok",
            "reason": file.refusal or None,
        }
        for file in assigned.files
    ]


def catalogued(shards):
    """The catalogue of a data set of these shards."""
    tables = (
        (each.shard, None, pa.Table.from_pylist(rows_of(each), INDEX_SCHEMA))
        for each in sorted(shards)
    )
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.parquet"
        entries = write_catalogue(tables, index, Path(folder) / "shards.parquet")
        return Catalogue(pq.ParquetFile(index), entries)


def assigned(versions, catalogue=None, size=3):
    return list(assign_files(list_images(Folder(versions)), catalogue, size))


def names(*keys):
    return dict.fromkeys((f"{key}.png" for key in keys), "1")


def in_shards(shards):
    return {each.shard[-1]: "".join(file.key for file in each.files) for each in shards}


def depth(catalogue):
    """How many shards' ranges of keys lie over one key at most: that many runs there are."""
    ranges = [(e.first, e.last) for e in catalogue.shards if e.first is not None]
    return max((sum(a <= key <= b for a, b in ranges) for key, _ in ranges), default=0)


plain = st.text("ab/.-é日𝄞", min_size=1, max_size=4).map(lambda name: name.strip("/."))
odd = st.text("a\x01\udcff", min_size=1, max_size=3)
extensions = st.sampled_from(["png", "jpg"])


def versions_of(keys):
    named = st.tuples(keys.filter(lambda key: key and "//" not in key and "/." not in key))
    paths = st.builds(lambda key, extension: f"{key[0]}.{extension}", named, extensions)
    return st.dictionaries(paths, st.sampled_from("12"), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(
    increments=st.lists(versions_of(st.one_of(plain, odd)), min_size=1, max_size=5),
    size=st.integers(1, 5),
)
def test_every_increment_leaves_files_where_they_are_and_puts_new_ones_into_new_shards(
    increments, size
):
    before, catalogue = [], None
    for versions in increments:
        files = list(list_images(Folder(versions)))
        shards = assigned(versions, catalogue, size)
        assert sorted(file for each in shards for file in each.files) == sorted(files)
        by_name = {each.shard: each for each in shards}
        assert len(by_name) == len(shards)
        known = {file.path for each in before for file in each.files}
        for old in before:
            kept = {file.path for file in old.files}
            now = by_name.pop(old.shard, None)
            assert [file for file in files if file.path in kept] == list(now.files if now else [])
        fresh = [by_name[name] for name in sorted(by_name)]
        assert [f for f in files if f.path not in known] == [f for b in fresh for f in b.files]
        assert [len(each.files) for each in fresh[:-1]] == [size] * (len(fresh) - 1 if fresh else 0)
        assert all(0 < len(each.files) <= size for each in fresh)
        before, catalogue = shards, catalogued(shards)
        assert sorted(assigned(versions, catalogue, size)) == sorted(shards)
        accepted = [file.key for file in files if not file.refusal]
        places = list(catalogue.keys())
        assert [place.key for place in places] == accepted


@settings(max_examples=40, deadline=None)
@given(increments=st.lists(versions_of(plain), min_size=2, max_size=6), size=st.integers(1, 4))
def test_no_more_shards_are_held_than_lie_over_one_another_and_a_new_one(increments, size):
    held = []

    class Watched(_KnownShards):
        def take(self, file):
            taken = super().take(file)
            held.append(len(self._open))  # those of new files are one more
            return taken

    catalogue = None
    for versions in increments:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tasks.shard.assignment._KnownShards", Watched)
            shards = list(assign_files(list_images(Folder(versions)), catalogue, size))
        assert max(held, default=0) <= (depth(catalogue) if catalogue else 0)
        catalogue = catalogued(shards)
        held.clear()


def test_files_are_cut_in_their_order_where_there_is_no_catalogue():
    assert in_shards(assigned(names(*"abcdefgh"))) == {"0": "abc", "1": "def", "2": "gh"}


def test_a_new_file_in_the_middle_moves_no_other():
    catalogue = catalogued(assigned(names(*"bdfhj")))
    found = in_shards(assigned(names(*"abcdefhj"), catalogue))
    assert found == {"0": "bdf", "1": "hj", "2": "ace"}


def test_a_shard_that_lost_all_its_files_is_left_out():
    catalogue = catalogued(assigned(names(*"abcdefg")))
    assert in_shards(assigned(names(*"abcg"), catalogue)) == {"0": "abc", "2": "g"}


def test_a_changed_file_stays_where_it_is():
    files = names(*"abcd")
    catalogue = catalogued(assigned(files))
    shards = assigned(files | {"b.png": "2"}, catalogue)
    assert in_shards(shards) == {"0": "abc", "1": "d"}
    assert shards[0].files[1] == SourceFile("b", "b.png", 1, "2")


def test_another_size_of_shards_is_for_new_ones_only():
    catalogue = catalogued(assigned(names(*"abcdef")))
    found = in_shards(assigned(names(*"abcdefghi"), catalogue, size=2))
    assert found == {"0": "abc", "1": "def", "2": "gh", "3": "i"}


def test_a_rest_of_a_first_run_gets_the_names_that_it_would_have_had():
    files = names(*"abcdefghijk")
    shards = assigned(files)
    done = catalogued([shards[0], shards[2]])
    assert sorted(assigned(files, done)) == sorted(shards)


def test_a_file_that_takes_the_key_of_another_comes_into_a_new_shard_and_both_keep_theirs():
    catalogue = catalogued(assigned(names(*"abc")))
    files = names(*"abc") | {"c.jpg": "1"}
    shards = assigned(files, catalogue)
    refused = {file.path for each in shards for file in each.files if file.refusal}
    assert (in_shards(shards), refused) == ({"0": "abc", "1": "c"}, {"c.png"})
    again = assigned(files, catalogued(shards))
    assert sorted(again) == sorted(shards)


@pytest.mark.parametrize("gone", ["", "a\udcff.png"])
def test_a_shard_with_a_name_that_no_table_can_hold_keeps_it(gone):
    files = names("a\udcff", "b", "c", "d\udcff", "e")
    shards = assigned(files)
    left = {path: version for path, version in files.items() if path != gone}
    found = {
        each.shard: [file.path for file in each.files]
        for each in assigned(left, catalogued(shards))
    }
    first = ["a\\xff.png", "b.png", "c.png"][bool(gone) :]
    assert found == {"shard-000000": first, "shard-000001": ["d\\xff.png", "e.png"]}


def test_two_names_that_are_escaped_alike_both_stay():
    files = names("a\x85", "a\udc85", "b")
    shards = assigned(files, size=1)
    assert {b.files[0].path for b in shards} == {"a\\x85.png", "b.png"}
    assert sorted(assigned(files, catalogued(shards), size=1)) == sorted(shards)


def test_a_name_that_looks_like_an_escaped_one_is_not_taken_for_it():
    files = names("a", "b\\xff", "b\udcff")
    shards = assigned(files, size=1)
    assert not shards[1].files[0].refusal
    assert shards[2].files[0].refusal.startswith(ODD_NAME)
    assert sorted(assigned(files, catalogued(shards), size=1)) == sorted(shards)


def test_names_for_new_shards_are_those_that_are_free():
    taken = catalogued(assigned(names(*"abcdef"), size=2)[1:])
    free = free_shards(taken)
    assert [next(free) for _ in range(2)] == ["shard-000000", "shard-000003"]
    assert all(a < b for a, b in pairwise([next(free) for _ in range(5)]))
