"""Small shards are merged in every kind of configuration: restored, with levels, in rounds."""

import pytest
from networks.small_autoencoders import tiny_codec

from tasks.compact.compact import compact
from tasks.config import Run
from tasks.fit.decision import find_stand_in
from tasks.fit.measurement_plan import measure_of
from tasks.fit.operators import find_operator
from tasks.fit.select import chosen_images
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.tensors import load_tensors
from tasks.io.errors import StepMissing
from tasks.io.ledger import VERSIONS
from tasks.io.shards import read_members, read_sides
from tasks.io.workspace import moments_folder
from tasks.shard.dataset import known_catalogue
from tasks.upkeep.cleaning.waste import clean
from tests.tasks.compact.conftest import Grown


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """A small auto-encoder with random weights, in a folder."""
    return tiny_codec(tmp_path_factory.mktemp("codec"))


def copied(grown, dataset):
    """Every image of a data set with what stands beside it, by key."""
    store, found = grown.workspace.store, {}
    for shard in grown.workspace.shards(dataset):
        members = grown.workspace.members(dataset, shard)
        sides = read_sides(store, members)
        found |= {m.key: (data, sides.get(m.key)) for m, data in read_members(store, members)}
    return found


def refused(grown, dataset):
    catalogue = grown.workspace.catalogue(dataset)
    rows = [row for entry in catalogue.shards for row in catalogue.table(entry).to_pylist()]
    return sorted((r["key"], r["source"], r["reason"]) for r in rows if r["status"] == "refused")


def require_the_same_after_merging(grown):
    """Merge, and check that nothing is left to do and that images and numbers are the same."""
    datasets, operator = grown.config.datasets(), find_operator(Run.of(grown.config))
    before = {dataset: copied(grown, dataset) for dataset in datasets}
    bad = {dataset: refused(grown, dataset) for dataset in datasets}
    numbers = grown.numbers()
    told = grown.compact()
    assert grown.missing() == []
    assert {dataset: copied(grown, dataset) for dataset in datasets} == before
    assert {dataset: refused(grown, dataset) for dataset in datasets} == bad
    assert find_operator(Run.of(grown.config)) == operator
    assert grown.numbers() == numbers
    return {each.dataset: each.merged for each in told}


def test_restored_data_sets_follow_those_that_they_are_made_of(
    tmp_path, grow, write_images, add_images
):
    folder = tmp_path
    for number, (keys, natural) in enumerate((("da", "d"), ("fb", "ub"), ("ec", "c"))):
        add_images(folder, keys)
        copies = {f"{k}.png": (folder / "reference" / f"{k}.png").read_bytes() for k in keys}
        own = {f"n{k}.png": copies[f"{keys[0]}.png"] for k in natural}
        write_images(folder / "natural", own)
        bad = {f"{keys[0]}{number}.png": b"no image", f"{keys[0]}.webp": b"of a key that is there"}
        write_images(folder / "reference", {**bad, f"{keys[1]}.txt": b"a caption"})
        grown = grow(
            folder,
            ("",),
            corpora=("reference", "natural"),
            degrade=[{"kind": "noise", "sigma": 0.1}],
            restore={"kind": "bicubic"},
            fit={"images": 3},
            shards={"images": 16, "max_bad_fraction": 0.9},
        )
    assert len(refused(grown, "reference")) == 6
    told = require_the_same_after_merging(grown)
    assert told == dict.fromkeys(("natural", "reference", "run", "run.source"), 1)
    assert {dataset: grown.workspace.shards(dataset) for dataset in told} == {
        "natural": {"shard-000003": 4},
        "run.source": {"shard-000003": 3},
        "reference": {"shard-000003": 6},
        "run": {"shard-000003": 6},
    }


def test_an_operator_that_is_in_use_stays_in_use(tmp_path, grow):
    grown = grow(tmp_path, fit={"refit_beyond": 0.0, "images": 4})
    require_the_same_after_merging(grown)


def own_operator(config):
    """The name of the operator that would be fitted to the moments that are there."""
    run = Run.of(config)
    return MomentFiles.of(run, chosen_images(run)).operator(config.fit.ridge)


def test_an_operator_that_was_only_kept_stands_in_for_none(tmp_path, grow):
    keeping = grow(tmp_path, fit={"refit_beyond": 1e9})
    kept = find_operator(Run.of(keeping.config)).name
    assert kept != own_operator(keeping.config)
    keeping.compact()
    assert keeping.missing() == []
    assert find_operator(Run.of(keeping.config)).name == kept
    refitting = with_fit(keeping, "run", refit_beyond=None)
    refitting.run()
    assert refitting.missing() == []
    assert find_operator(Run.of(refitting.config)).name == own_operator(refitting.config)


def test_each_configuration_keeps_its_own_operator(tmp_path, grow):
    keeping = grow(tmp_path, fit={"refit_beyond": 1e9})
    refitting = with_fit(keeping, "another", refit_beyond=None)
    refitting.run()
    both = [keeping.config, refitting.config]
    before = [find_operator(Run.of(config)) for config in both]
    assert before[0] != before[1]
    compact(keeping.config)
    assert [find_operator(Run.of(config)) for config in both] == before
    assert keeping.missing() == refitting.missing() == []


def with_fit(grown, name, **options):
    """A configuration of the same data sets with other options of the fit."""
    corpora = grown.config.corpora
    restored = corpora.restored.model_copy(update={"name": grown.config.restored_name})
    sections = {
        "name": name,
        "corpora": corpora.model_copy(update={"restored": restored}),
        "fit": grown.config.fit.model_copy(update=options),
    }
    return Grown(grown.folder, grown.config.model_copy(update=sections))


def test_latents_that_were_kept_are_kept_and_maps_of_levels_stay(
    tmp_path, grow, codec, monkeypatch
):
    grown = grow(tmp_path, codec=codec, transport={"levels": "all"}, fit={"images": 4})
    require_the_same_after_merging(grown)
    folder = moments_folder("run", measure_of(grown.config).name)
    (path,) = (p for p in grown.workspace.store.names(folder) if p.endswith("latents.safetensors"))
    latents, facts = load_tensors(grown.workspace.store.local(path), "latents")
    assert list(facts["images"]) == sorted(latents)
    assert len(latents) == 4
    members = {m.key: m.sha256 for m in grown.workspace.members("run", "shard-000003")}
    assert facts["images"].items() <= members.items()
    require_stand_in_for_these_options_alone(grown, monkeypatch)


def require_stand_in_for_these_options_alone(grown, monkeypatch):
    """What maps of levels were fitted with is not in an operator's name, so a note says it."""
    run, own = Run.of(grown.config), own_operator(grown.config)
    assert find_stand_in(run, own) == find_operator(run).name
    patches = grown.config.patches.model_copy(update={"fold": "gaussian"})
    assert patches != grown.config.patches
    other = Run.of(grown.config.model_copy(update={"patches": patches}))
    assert find_stand_in(other, own) is None
    with pytest.raises(StepMissing, match="fitted for these images and options"):
        find_operator(other)
    with monkeypatch.context() as patch:
        versions = {**VERSIONS, "transport": 99}
        patch.setattr("tasks.io.ledger.versions.VERSIONS", versions)
        assert find_stand_in(run, own) is None


@pytest.mark.slow
def test_rounds_of_the_method_stay(tmp_path, grow):
    require_the_same_after_merging(grow(tmp_path, reapply=1))


@pytest.mark.slow
def test_only_small_shards_are_merged_and_as_many_as_fill_one(tmp_path, grow):
    nights = ("abcde", "fgh", "ij", "klm", "no")
    grown = grow(tmp_path, nights, shards={"images": 6})
    told = require_the_same_after_merging(grown)
    assert told == {"reference": 2, "run": 2}
    assert grown.workspace.shards("run") == {
        "shard-000000": 5,  # more than half of one
        "shard-000005": 5,
        "shard-000006": 5,
    }


def test_an_index_that_is_lost_while_shards_are_merged_is_that_of_the_small_ones(
    tmp_path, grow, monkeypatch
):
    grown = grow(tmp_path)
    before = grown.workspace.shards("run")
    kept = sorted(grown.workspace.keys("run"))
    with monkeypatch.context() as patch:
        patch.setattr("tasks.compact.compact._switch", lambda *_: None)
        grown.compact()  # all merged shards are there, and in no index
    ledger = grown.workspace.ledger
    for dataset in ("run", "reference"):
        ledger.withdraw(ledger.records(f"datasets/{dataset}/index"))
    survey = ledger.survey("datasets/run")
    assert known_catalogue("run", survey, grown.workspace) is not None
    grown.run()
    assert grown.missing() == []
    assert grown.workspace.shards("run") == before
    assert sorted(grown.workspace.keys("run")) == kept
    assert not list(ledger.survey("").of_shards(["shard-000003"]))
    grown.compact()  # the journal of the one before names shards that are gone
    assert grown.missing() == []
    assert grown.workspace.shards("run") == {"shard-000004": 6}


@pytest.mark.slow
def test_what_merging_left_behind_is_found_as_waste(tmp_path, grow, monkeypatch):
    grown = grow(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.compact.compact._switch", lambda *_: None)
        grown.compact()
    clean(grown.config)
    assert grown.missing() == []
    assert not list(grown.workspace.ledger.survey("").of_shards(["shard-000003"]))
    grown.compact()
    assert grown.missing() == []
    assert grown.workspace.shards("run") == {"shard-000003": 6}
