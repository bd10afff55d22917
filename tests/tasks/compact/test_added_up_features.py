"""A large data set, whose features are added up leaf by leaf, after its shards were merged."""

import pytest

from tasks.evaluate.sums import leaves


@pytest.fixture
def large(tmp_path, grow, squeezenet_weights, monkeypatch):
    """A data set of six images, which counts as large."""
    monkeypatch.setattr(leaves, "IMAGES", 2)
    return grow(tmp_path, fit={"images": 4}, evaluate={"features": "squeezenet"})


def leaves_of(grown):
    names = grown.workspace.store.names("features")
    return {name for name in names if "/sums/" in name}


def test_its_numbers_stay_and_leaves_are_of_merged_shards(large, add_images, keys_not_chosen):
    before, numbers = leaves_of(large), large.numbers()
    large.compact()
    assert large.missing() == []
    assert large.numbers() == numbers
    shards = {name.rpartition("/")[2].partition(".")[0] for name in leaves_of(large)}
    assert before
    assert shards == {"shard-000003"}
    add_images(large.folder, keys_not_chosen("dafbec", 4)[:1])
    large.run()
    assert large.missing() == []
    assert leaves_of(large)
