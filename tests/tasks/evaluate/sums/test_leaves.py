"""Leaves of large data sets: every shard once, about one size, stable as shards come and go."""

import pytest

from tasks.evaluate.sums.leaves import IMAGES, MOST, leaves_of


def shards_of(numbers, images=1000):
    return {f"shard-{number:06d}": images for number in numbers}


@pytest.mark.parametrize("shards", [{}, shards_of(range(65)), {"shard-000000": IMAGES}])
def test_a_small_data_set_has_none(shards):
    assert leaves_of(shards) == []


@pytest.mark.parametrize("images", [7, 256, 1000, 200_000])
def test_every_shard_is_in_one_leaf_in_its_order(images):
    shards = shards_of(range(3 * IMAGES // images + 2), images)
    leaves = leaves_of(shards)
    assert [shard for leaf in leaves for shard in leaf.shards] == list(shards)
    assert [leaf.name for leaf in leaves] == [leaf.shards[0] for leaf in leaves]
    assert [leaf.images for leaf in leaves] == [images * len(leaf.shards) for leaf in leaves]


def test_leaves_have_about_so_many_images_in_the_mean():
    leaves = leaves_of(shards_of(range(4000)))
    assert 4_000_000 / len(leaves) == pytest.approx(IMAGES, rel=0.3)
    assert max(leaf.images for leaf in leaves) < 6 * IMAGES


def test_of_more_images_each_leaf_has_more():
    leaves = leaves_of(shards_of(range(40_000)))  # forty millions
    assert MOST / 2 < len(leaves) < 1.5 * MOST


def test_a_shard_that_comes_last_changes_the_last_leaf_alone():
    before, after = (leaves_of(shards_of(range(count))) for count in (1000, 1001))
    assert after[: len(before) - 1] == before[:-1]


@pytest.mark.parametrize("gone", range(0, 1000, 37))
def test_a_shard_that_goes_changes_two_leaves_at_most(gone):
    before = set(leaves_of(shards_of(range(1000))))
    after = set(leaves_of(shards_of(number for number in range(1000) if number != gone)))
    assert len(before - after) <= 2
    assert len(after - before) <= 1


def test_a_shard_of_a_leafs_size_ends_one():
    leaves = leaves_of({**shards_of(range(3)), "shard-000003": IMAGES, "shard-000004": 1})
    assert [leaf.shards[-1] for leaf in leaves][-2:] == ["shard-000003", "shard-000004"]
