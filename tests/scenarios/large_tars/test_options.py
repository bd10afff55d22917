"""Options that decide which members are images, or what is with them, and a tar that grows then."""

import os

import pytest
from tars.large_tars import members_of, png
from tars.odd_tars import tar_of

from tasks.pipeline import is_finished

KEYS = [f"{n:03d}" for n in range(10)]
LARGE = ("large.png", png(50) + bytes(20_000))


@pytest.fixture
def made(tars):
    """A run over a tar of four parts; its sixth image is large."""
    made = tars()
    made.write("b", [*members_of(range(5)), LARGE, *members_of(range(5, 10))])
    made.steps.shard()
    assert made.shards() == {
        "b.tar#0": KEYS[:3],
        "b.tar#1": [*KEYS[3:5], "large"],
        "b.tar#2": KEYS[5:8],
        "b.tar#3": KEYS[8:],
    }
    return made


def grow(made):
    with (made.folder / "in" / "b.tar").open("ab") as tar:
        tar.write(tar_of(members_of(range(10, 12))))


def touch(made):
    os.utime(made.folder / "in" / "b.tar", ns=(1, 1))


@pytest.mark.parametrize("change", [grow, touch])
@pytest.mark.parametrize(
    ("options", "stay"),
    [
        pytest.param({"corpus": {"beside": ["txt", "cls"]}}, {0, 1, 2, 3}, id="sides of a kind"),
        pytest.param({"corpus": {"beside": []}}, set(), id="no sides"),
        pytest.param({"corpus": {"strip": "_net"}}, {0, 1, 2, 3}, id="strip, which fits none"),
        pytest.param({"corpus": {"frames": "first"}}, {0, 1, 2, 3}, id="first frames"),
        pytest.param({"shards": {"max_bytes": 10_000}}, {0, 2, 3}, id="a limit that refuses one"),
        pytest.param({"shards": {"max_pixels": 1 << 20}}, {0, 1, 2, 3}, id="another limit"),
        pytest.param({"shards": {"images": 20}}, {0, 1, 2, 3}, id="sizes"),
    ],
)
def test_parts_hold_the_same_images_and_only_those_change_whose_images_do(
    made, tars, change, options, stay
):
    before, parts = made.made(), made.shards()
    change(made)
    changed = tars(**options)
    changed.steps.shard()
    lost = {"large"} if "max_bytes" in options.get("shards", {}) else set()
    found, keys = changed.shards(), [*KEYS, "large", *(["010", "011"] if change is grow else [])]
    assert sorted(key for part in found.values() for key in part) == sorted({*keys} - lost)
    for part in ("b.tar#0", "b.tar#1", "b.tar#2"):
        assert found[part] == [key for key in parts[part] if key not in lost]
    shards = {number: f"datasets/run/shard-00000{number}" for number in range(4)}
    kept = {number for number, name in shards.items() if changed.made()[name] == before[name]}
    assert kept == stay - ({3} if change is grow else set())
    assert is_finished(changed.steps.config, "shard")
    assert changed.damage() == []
