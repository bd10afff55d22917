"""Shards that a training or a foreign tar needs stay, beside others that are merged."""

import tarfile

import pytest

from tasks.compact.stays import why_shards_stay
from tasks.train.plan import trained_map
from tests.tasks.compact.conftest import Grown

TRAINED = {
    "degrade": [{"kind": "noise", "sigma": 0.1}],
    "restore": {
        "kind": "residual-transport",
        "train": {"steps": 2, "segment": 2, "batch": 2, "crop": 16, "width": 2, "map_steps": 2},
    },
    "fit": {"images": 3},
}


def require_only_these_merged(grown, merged):
    """Merge, and check that what else there is stays as it is, and that nothing is left to do."""
    before = {name: grown.workspace.shards(name) for name in grown.config.datasets()}
    numbers = grown.numbers()
    assert {each.dataset: (each.small, each.merged) for each in grown.compact()} == merged
    after = {name: grown.workspace.shards(name) for name in grown.config.datasets()}
    assert {name for name in after if after[name] != before[name]} == merged.keys()
    assert grown.missing() == []
    assert grown.numbers() == numbers


@pytest.fixture
def trained(tmp_path, grow, write_images, add_images):
    """A restorer that is trained on natural images, after two nights of both corpora."""
    for keys in ("da", "fb"):
        add_images(tmp_path, keys)
        own = [(tmp_path / "reference" / f"{key}.png").read_bytes() for key in keys]
        write_images(tmp_path / "natural", {f"n{k}.png": d for k, d in zip(keys, own, strict=True)})
        grown = grow(tmp_path, ("",), corpora=("reference", "natural"), **TRAINED)
    return grown


def test_what_a_restorer_is_trained_on_stays_and_what_it_restores_is_merged(trained):
    weights = trained_map(trained.opened)
    records = {each for each in trained.records() if "/restorers/" in each}
    require_only_these_merged(trained, {"reference": (2, 1), "run": (2, 1)})
    assert trained_map(trained.opened) == weights
    assert {each for each in trained.records() if "/restorers/" in each} == records
    assert why_shards_stay(trained.config) == [
        "natural keeps 2 small shard(s): the restorer of 'run' is trained on them, by the numbers "
        "of their images"
    ]


def test_where_all_is_trained_on_nothing_is_merged(tmp_path, grow):
    grown = grow(tmp_path, ("da", "fb"), corpora=("reference",), **TRAINED)
    require_only_these_merged(grown, {})
    (sentence,) = why_shards_stay(grown.config)
    assert sentence.startswith("reference keeps 2 small shard(s): the restorer")


@pytest.fixture
def packed(tmp_path, steps, add_images):
    """Makes a finished run, some of whose corpora are tars, a tar for each night."""

    def make(roles, **shards):
        corpora = {role: tmp_path / role for role in ("restored", "reference", "natural")}
        for night, keys in enumerate(("da", "fb")):
            add_images(tmp_path, keys)
            for role in roles:
                folder = tmp_path / ("reference" if role == "natural" else role)
                with tarfile.open(tmp_path / f"{role}-{night}.tar", "w") as archive:
                    for key in keys:
                        archive.add(folder / f"{key}.png", f"{key}.png")
                corpora[role] = tmp_path / f"{role}-{{0..{night}}}.tar"
            given = {r: c for r, c in corpora.items() if r in roles or c.exists()}
            own = steps(tmp_path / "workspace", given, shards={"images": 12, **shards})
            grown = Grown(tmp_path, own.config)
            grown.run()
        return grown

    return make


def test_shards_of_tars_stay(packed):
    grown = packed(("restored", "reference"))
    records = grown.records()
    require_only_these_merged(grown, {})
    assert grown.records() == records
    assert why_shards_stay(grown.config) == [
        f"{name} keeps 2 small shard(s): each stands for a foreign tar, or a part of one"
        for name in ("reference", "run")
    ]


def test_parts_of_large_tars_stay(packed):
    grown = packed(("restored", "reference"), cut_tars_above=3_000)
    assert len(grown.workspace.shards("run")) == 4
    scans = {each for each in grown.records() if "/tars/" in each}
    assert scans
    records = grown.records()
    require_only_these_merged(grown, {})
    assert grown.records() == records
    assert len([s for s in why_shards_stay(grown.config) if " keeps 4 small" in s]) == 2


@pytest.mark.parametrize("above", [None, 3_000])
def test_images_in_files_are_merged_beside_tars(packed, above):
    grown = packed(("natural",), cut_tars_above=above)
    require_only_these_merged(grown, {"reference": (2, 1), "run": (2, 1)})
    number = 2 if above is None else 4
    assert why_shards_stay(grown.config) == [
        f"natural keeps {number} small shard(s): each stands for a foreign tar, or a part of one"
    ]


def test_shards_with_refused_names_stay(tmp_path, grow, write_images):
    for night, keys in enumerate(("da", "fb", "ec")):
        write_images(tmp_path / "restored", {f"{night}\n.png": b"of an odd name"} if night else {})
        grown = grow(tmp_path, (keys,), shards={"images": 12, "max_bad_fraction": 0.9})
    require_only_these_merged(grown, {"reference": (3, 1)})
    assert why_shards_stay(grown.config) == [
        "run keeps 2 small shard(s): a file in each has a name that was refused"
    ]
