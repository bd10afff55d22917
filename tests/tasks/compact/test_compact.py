"""After small shards are merged nothing is left to do, and all that was known is still known."""

import shutil

import pytest
from workspaces.contents import tables, tars

from tasks.compact.compact import compact, look
from tasks.config import Run
from tasks.config.registry import register
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.export.plan import Export
from tasks.fit.operators import find_operator, fitted
from tasks.io.errors import StepMissing, WorkspaceBusy
from tasks.io.workspace import Workspace
from tasks.upkeep.cleaning.waste import find_waste
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import verify

SMALL = {"shard-000000", "shard-000001", "shard-000002"}
KEYS = "abcdef"


def known(grown):
    """All that a workspace knows of its images, wherever it lies."""
    results = fitted(Run.of(grown.config)).results
    own = grown.workspace
    of_images = (tables(own, f"{kind}/run/{results}") for kind in ("metrics", "features"))
    return {
        "images": tars(own, "datasets") | tars(own, f"enhanced/run/{results}"),
        "rows": [{f: t.to_dicts() for f, t in each.items()} for each in of_images],
        "reference": {f: t.to_dicts() for f, t in tables(own, "features/reference").items()},
        "numbers": grown.numbers(),
        "operator": find_operator(Run.of(grown.config)),
    }


def files(grown, shard):
    """The bytes of the tars of a shard with DALI's indexes, and of its matches, by folder."""
    own, workspace = find_operator(Run.of(grown.config)).name, grown.workspace
    paths = [p for kind in ("datasets", f"enhanced/run/{own}") for p in workspace.store.names(kind)]
    return {
        path.replace(own, "").replace(shard, ""): workspace.store.read(path)
        for path in paths
        if path.endswith((f"{shard}.tar", f"{shard}.idx"))
    }


def test_nothing_is_left_to_do_and_all_that_was_known_is_the_same(grown):
    before = known(grown)
    told = {each.dataset: each[1:4] for each in grown.compact()}
    assert told == {"run": (3, 3, 1), "reference": (3, 3, 1)}
    assert grown.missing() == []
    assert known(grown) == before
    for dataset in told:
        assert grown.workspace.shards(dataset) == {"shard-000003": 6}
        assert [place.key for place in grown.workspace.keys(dataset)] == list(KEYS)


def test_the_workspace_is_whole_and_holds_nothing_of_the_small_shards(grown):
    grown.compact()
    workspace, config = grown.workspace, grown.config
    assert not [each for each in verify(workspace.ledger) if each.damage]
    own = [
        name for name in workspace.store.names("") if SMALL & set(name.split("/")[-1].split("."))
    ]
    assert own == []
    strays = find_waste([config], workspace, keep=9)
    assert (strays.files, strays.notes, strays.doubts) == ([], [], [])
    steps = status_of_steps(config)
    assert not [step for step in steps if step.done < step.asked]


def test_a_second_time_there_is_nothing_to_merge(grown):
    grown.compact()
    records = grown.records()
    assert grown.compact() == []
    assert grown.records() == records


def test_to_look_changes_nothing(grown):
    names = sorted(grown.workspace.store.names(""))
    told = look(grown.config)
    assert sorted(grown.workspace.store.names("")) == names
    assert told == grown.compact()
    assert all(each.files >= 15 and each.size > 10_000 for each in told)


def test_a_merged_shard_is_that_of_a_run_that_had_all_images_at_once(grown, grow, tmp_path):
    grown.compact()
    shutil.copytree(grown.folder / "restored", tmp_path / "restored")
    shutil.copytree(grown.folder / "reference", tmp_path / "reference")
    config = grown.config
    evaluate = config.evaluate.model_dump(exclude_unset=True)
    scratch = grow(tmp_path, (), fit={"images": 4}, evaluate=evaluate, enhance={"alphas": [0, 1]})
    scratch.run()
    mine, theirs = files(grown, "shard-000003"), files(scratch, "shard-000000")
    assert len(mine) == 2 * (2 + 2)
    assert mine == theirs
    for dataset in ("run", "reference"):
        (own,) = grown.workspace.ledger.records(f"datasets/{dataset}/shard-000003")
        (other,) = scratch.workspace.ledger.records(f"datasets/{dataset}/shard-000000")
        assert own.digest == other.digest


def test_a_later_night_touches_no_merged_shard(grown, add_images, keys_not_chosen):
    grown.compact()
    operator = find_operator(Run.of(grown.config))
    before = {r.path for r in grown.workspace.ledger.survey("").of_shards(["shard-000003"])}
    new, *_ = keys_not_chosen(KEYS, 4)
    add_images(grown.folder, new)
    grown.run()
    assert find_operator(Run.of(grown.config)) == operator
    after = {r.path for r in grown.workspace.ledger.survey("").of_shards(["shard-000003"])}
    matches = {path for path in before | after if "/matches/" in path}  # of a new reference
    assert before - matches == after - matches
    assert grown.workspace.shards("run") == {"shard-000003": 6, "shard-000004": 1}


def test_a_changed_image_makes_its_merged_shard_again(grown):
    grown.compact()
    path = grown.folder / "restored" / "a.png"
    path.write_bytes((grown.folder / "restored" / "b.png").read_bytes())
    grown.run()
    assert grown.missing() == []
    assert grown.workspace.shards("run") == {"shard-000003": 6}
    members = {m.key: m.sha256 for m in grown.workspace.members("run", "shard-000003")}
    assert members["a"] == members["b"]


def test_a_forgotten_image_takes_its_operator_with_it(grown):
    grown.compact()
    operator = find_operator(Run.of(grown.config)).name
    forget([grown.config], ["a", "b", "c"], grown.workspace)
    grown.run()
    assert grown.missing() == []
    assert [place.key for place in grown.workspace.keys("run")] == list("def")
    assert find_operator(Run.of(grown.config)).name != operator


def test_an_export_is_the_same(grown, tmp_path):
    def export():
        out = Export(fitted(Run.of(grown.config)), str(tmp_path / "out"), 0.0)
        from tasks.export.export import export_shard

        units = out.units()
        out.prepare(units)
        for unit in units:
            if unit.job is not None:
                export_shard.fn(unit.job)
        out.finish()
        return {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}

    before = export()
    grown.compact()
    assert export() == before
    assert len(before) == 6


def test_a_run_at_work_is_not_disturbed(grown):
    names = sorted(grown.workspace.store.names("ledger"))
    other = Workspace(grown.config.workspace)
    with other.claims.held("runs/somebody"), pytest.raises(WorkspaceBusy, match="runs/somebody"):
        grown.compact()
    assert sorted(grown.workspace.store.names("ledger")) == names


def test_what_is_not_done_is_done_first(grown, add_images):
    add_images(grown.folder, "g")
    with pytest.raises(StepMissing, match="all of 'run' must be done before shards are merged"):
        grown.compact()


def test_another_configuration_of_the_workspace_keeps_its_results(grown, steps):
    corpora = {role: grown.folder / role for role in ("restored", "reference")}
    other = steps(
        grown.folder / "workspace",
        corpora,
        name="other",
        fit={"images": 3},
        shards={"images": 12},
    )
    corpus = other.config.corpora.restored.model_copy(update={"name": "run"})
    sections = {"corpora": other.config.corpora.model_copy(update={"restored": corpus})}
    other.config = other.config.model_copy(update=sections)
    other.run()
    both = [grown.config, other.config]
    of_other = summary_artifact(fitted(Run.of(other.config)))
    before = grown.numbers(), read_summary(grown.workspace, of_other)
    register(other.config)
    compact(grown.config)
    for config in both:
        assert type(grown)(grown.folder, config).missing() == []
    assert (grown.numbers(), read_summary(grown.workspace, of_other)) == before
