"""A large data set, whose features are added up leaf by leaf, after its shards were merged."""

import pytest

from tasks.evaluate.sums import leaves
from tasks.upkeep.cleaning.waste import clean


@pytest.fixture
def large(tmp_path, grow, squeezenet_weights, monkeypatch):
    """A data set of six images, which counts as large."""
    monkeypatch.setattr(leaves, "IMAGES", 2)
    return grow(tmp_path, fit={"images": 4}, evaluate={"features": "squeezenet"})


def leaves_of(grown):
    names = grown.workspace.store.names("features")
    return {name for name in names if "/sums/" in name}


def test_its_numbers_stay_and_nothing_is_added_up(large, add_images, keys_not_chosen, monkeypatch):
    numbers = large.numbers()
    assert leaves_of(large)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.evaluate.sums.add.read_apart", None)
        large.compact()
    assert large.missing() == []
    assert large.numbers() == numbers
    clean(large.config)
    assert large.missing() == []
    add_images(large.folder, keys_not_chosen("dafbec", 4)[:1])
    large.run()
    assert large.missing() == []
    assert leaves_of(large)
