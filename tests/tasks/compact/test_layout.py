"""Which small shards become one."""

from types import SimpleNamespace

import pytest

from tasks.compact.layout import Group, groups_of
from tasks.io.catalogue import ShardEntry
from tasks.io.shards import shard_name


def catalogue(rows, tars=(), odd=()):
    """One of shards with so many images each; those with these numbers are of tars, or odd."""
    shards = [
        ShardEntry(shard_name(n), n, count, count, "a", "b", "x.tar" if n in tars else None)
        for n, count in enumerate(rows)
    ]
    return SimpleNamespace(shards=shards, odd=lambda: iter([("?", shard_name(n)) for n in odd]))


def merged(found):
    return [[int(shard[-6:]) for shard in group.merged] for group in found]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        pytest.param([3] * 5, {}, [[0, 1, 2], [3, 4]], id="as many as fill one"),
        pytest.param([3, 10, 3], {}, [[0, 2]], id="a large one between stays"),
        pytest.param([5, 6, 5], {}, [[0, 2]], id="more than half of one is not small"),
        pytest.param([3, 9], {}, [], id="one alone stays"),
        pytest.param([5, 5, 5], {}, [[0, 1]], id="the last one waits for others"),
        pytest.param([3, 0, 3], {}, [[0, 2]], id="an empty one stays"),
        pytest.param([3, 3, 3], {"tars": {1}}, [[0, 2]], id="a tar stays"),
        pytest.param([3, 3, 3], {"odd": {0}}, [[1, 2]], id="names in no order stay"),
        pytest.param([], {}, [], id="none"),
    ],
)
def test_small_shards_become_as_few_as_can_be(rows, options, expected):
    found = groups_of(catalogue(rows, **options), 10, map(shard_name, range(90, 99)))
    assert merged(found) == expected
    assert [group.shard for group in found] == [shard_name(90 + n) for n in range(len(expected))]
    assert all(isinstance(group, Group) for group in found)


def test_what_was_merged_is_merged_again_only_while_it_is_small():
    names = map(shard_name, range(90, 99))
    assert merged(groups_of(catalogue([6, 1, 1]), 10, names)) == [[1, 2]]
    assert merged(groups_of(catalogue([5, 1, 1]), 10, names)) == [[0, 1, 2]]
