"""A workspace with a large tar whose other shards are merged, before and after the tar grows."""

import pytest
from tars.large_tars import members_of
from tars.odd_tars import tar_of

from tasks.compact.compact import compact, look


@pytest.fixture
def made(tars, pixels, write_images):
    """A run over a tar of four parts, and over natural images that came in three nights."""
    made = tars()
    made.write("b", members_of(range(10)))
    for night in range(3):
        if night:
            write_images(made.folder / "natural", {f"later{night}.png": pixels(2000 + night)})
        made.finish()
    return made


def parts(numbers):
    keys = [f"{n:03d}" for n in numbers]
    return {f"b.tar#{n}": keys[3 * n : 3 * n + 3] for n in range(-(-len(keys) // 3))}


def test_parts_stay_and_small_shards_are_merged_and_the_tar_grows_as_ever(made):
    before, shards = made.made(), made.shards()
    assert [each.dataset for each in look(made.steps.config)] == ["natural"]
    compact(made.steps.config)
    assert made.missing() == []
    assert made.shards() == shards == parts(range(10))
    own = {name: digest for name, digest in before.items() if name.startswith("datasets/run/")}
    assert own.items() <= made.made().items()
    with (made.folder / "in" / "b.tar").open("ab") as tar:
        tar.write(tar_of(members_of(range(10, 14))))
    made.finish()
    assert made.shards() == parts(range(14))
    assert made.enhanced() == [f"{n:03d}" for n in range(14)]
    kept = {name: digest for name, digest in own.items() if name[-6:] in ("000000", "000001")}
    assert len(kept) == 2
    assert kept.items() <= made.made().items()
    assert look(made.steps.config) == []
    assert made.damage() == made.missing() == []
