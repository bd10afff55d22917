"""Several networks of features in one run: what each sees, computes, and is called."""

import json
import shutil

import polars
import pytest
import torch
from torchvision.models import squeezenet1_1
from workspaces import plain_pipeline as pipeline

import tasks.evaluate.features.pictures
from tasks.evaluate.bounds import metric_named
from tasks.evaluate.extract import plan_extraction
from tasks.evaluate.summarise import summary_artifact, summary_facts
from tasks.io.artifacts.metric_registry import metrics_to_choose_by
from tasks.io.networks.features import extractors
from tasks.io.networks.published_weights import PUBLISHED
from tasks.report.choose import choose_alpha
from tasks.report.outcome import describe, read_results
from tasks.report.tables.results import results_text
from tasks.upkeep.status import status_of_steps
from tests.support.networks.small_dinov2 import vit_tensors

DINO = "dinov2-vit-s-14"
BOTH = ["squeezenet", DINO]
COLUMN = "frechet_dinov2_vit_s_14"
CURVE = {"curve": {"step": 0.5, "networks": True}}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A hub folder with random weights of two networks, and no way to any other."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), folder / PUBLISHED["squeezenet"].name)
    tensors = vit_tensors(torch.Generator().manual_seed(0), gated=False, width=64, depth=1)
    torch.save(tensors, folder / PUBLISHED[DINO].name)

    def closed(*_, **__):
        raise OSError("no route to host")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setattr(torch.hub, "download_url_to_file", closed)
        extractors._load_extractor.cache_clear()
        yield folder
    extractors._load_extractor.cache_clear()


@pytest.fixture(scope="module")
def make(tmp_path_factory, checkpoints, steps, photographs, write_images, pixels):
    """Makes the steps of a run by these networks, in a workspace of its own unless it is given."""
    folder = tmp_path_factory.mktemp("natural")
    others = {f"{number}.png": pixels(50 + number, 24, 32) for number in range(6)}
    corpora = {
        "restored": photographs["restored"],
        "reference": photographs["natural"],
        "natural": write_images(folder, others),
    }

    def made(features, workspace=None, **evaluate):
        evaluate = {"features": features, **CURVE, **evaluate}
        place = workspace or tmp_path_factory.mktemp("workspace")
        return steps(place, corpora, evaluate=evaluate, enhance={"alphas": [0, 0.5]})

    return made


@pytest.fixture(scope="module")
def both(make):
    """A finished run by both networks, and its rows; to read."""
    run = make(BOTH, against=["reference", "natural"])
    return run, by_signal(reported(run))


def reported(run):
    """Finish a run with its report; return its rows."""
    rows = pipeline.run(run.config)
    run.report()
    return rows


def by_signal(rows):
    return {(row["signal"], row["alpha"]): row for row in rows}


def facts_of(run):
    return summary_facts(run.workspace, summary_artifact(run.fitted))


def left_to_do(run):
    return [s.name for s in status_of_steps(run.config) if s.missing or s.stale]


def test_each_network_has_the_distances_that_it_has_alone(both, make):
    _, rows = both
    for network, column in zip(BOTH, ("frechet", COLUMN), strict=True):
        alone = by_signal(pipeline.run(make(network, against=["reference", "natural"]).config))
        assert alone.keys() == rows.keys()
        for signal, row in alone.items():
            for part in ("", "_error", "_change", "_change_error"):
                for end in ("", "_second"):
                    assert rows[signal][f"{column}{part}{end}"] == row[f"frechet{part}{end}"]
    curve, enhanced = rows["curve", 0.5], rows["enhanced", 0.5]
    assert enhanced[COLUMN] > 0
    assert enhanced[f"{COLUMN}_second"] > 0
    assert curve[COLUMN] == pytest.approx(enhanced[COLUMN], rel=1e-3)
    assert {row["featured_dinov2_vit_s_14"] for row in rows.values()} == {8}


def test_features_of_each_network_lie_in_a_folder_of_their_own(both):
    run, _ = both
    folder = run.workspace.store.local(f"features/run/{run.operator}/alpha+0.50")
    tables = {len(row): path for path in (folder, folder / DINO) for row in features_in(path)}
    assert tables == {128: folder, 64: folder / DINO}
    assert sorted(path.name for path in (folder / DINO).iterdir()) == [
        f"shard-00000{number}.parquet" for number in range(3)
    ]
    names = {path.name.rpartition("-")[0] for path in folder.parents[2].glob("reference/*")}
    assert names == set(BOTH)


def features_in(folder):
    found = polars.concat([polars.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    return found["features"].to_list()


def test_images_are_decoded_once_for_both_networks(make, monkeypatch):
    run, decoded = make(BOTH), []
    load = tasks.evaluate.features.pictures.load_pictures

    def counted(store, members, *others):
        decoded.extend(member.key for member in members)
        return load(store, members, *others)

    monkeypatch.setattr(tasks.evaluate.features.pictures, "load_pictures", counted)
    pipeline.run(run.config)
    assert len(decoded) == len(set(decoded)) == 8


def test_a_run_by_one_network_is_finished_as_a_list_of_it_and_keeps_what_it_stands_on(make):
    run = make("squeezenet")
    reported(run)
    assert left_to_do(make(["squeezenet"], workspace=run.config.workspace)) == []
    survey = run.workspace.ledger.survey(f"reports/run/{run.operator}")
    (record,) = survey.records(f"reports/run/{run.operator}/signals/input")
    assert set(run.workspace.ledger.facts(record)["inputs"]) == {
        "operator",
        "scores",
        "reference",
        "sample",
        "torch-fidelity",
        "fitted images",
        "versions",
        "metrics",
    }


def test_a_network_more_looks_at_the_written_images_and_not_at_the_codec(make, tmp_path):
    before = make("squeezenet")
    first = by_signal(pipeline.run(before.config))
    shutil.copytree(before.config.workspace, tmp_path / "workspace")
    run = make(BOTH, workspace=tmp_path / "workspace")
    tables = [unit.job for unit in plan_extraction(run.opened) if unit.job is not None]
    assert {each.network for job in tables for each in job.extractions} == {DINO}
    for signal, row in by_signal(pipeline.run(run.config)).items():
        assert row[COLUMN] is not None
        assert row["frechet"] == first[signal]["frechet"]


def test_every_form_of_the_report_calls_the_distance_by_its_network(both):
    run, rows = both
    folder = run.workspace.store.local(f"reports/run/{run.operator}")
    record = json.loads((folder / "run.json").read_text("utf-8"))
    name = facts_of(run)[f"{COLUMN}_name"]
    assert name.startswith(f"FD-{DINO} (altered ")
    assert record["columns"][COLUMN]["title"] == name
    assert record["columns"][f"{COLUMN}_second"]["title"] == f"{name} to other photographs"
    assert record["weights"][DINO].keys() == {"network", "sha256"}
    assert record["metrics"]["more_networks"] == DINO
    assert f"{name} compares covariances of 64 features" in " ".join(record["warnings"])
    page, text = ((folder / f"report.{form}").read_text("utf-8") for form in ("html", "md"))
    for form in (page, text):
        assert form.index("FD-squeezenet*") < form.index(f"FD-{DINO}* ")
    titles, _ = results_text(list(rows.values()), facts_of(run))
    place = titles.index("FD-squeezenet* ↓")
    assert titles[place + 1] == f"FD-{DINO}* ↓"


def test_alpha_can_be_chosen_by_any_network_and_is_by_the_first(both):
    run, _ = both
    results = read_results(run.config)
    assert metric_named("FD-DINOv2-ViT-S-14", results.facts) == f"fd-{DINO}"
    chosen = choose_alpha(results.rows, [], f"fd-{DINO}", facts=results.facts)
    points = [row for row in results.rows if row["signal"] in ("enhanced", "curve")]
    assert chosen.numbers[f"fd-{DINO}"] == min(
        row[COLUMN] for row in points if 0 <= row["alpha"] <= 1
    )
    lines = describe(chosen, results.titles, results.facts)
    assert any(line.startswith(f"  FD-{DINO} (altered") for line in lines)
    assert metric_named("fd", results.facts) == "fid"
    assert f"fd-{DINO}" not in metrics_to_choose_by()


def test_one_network_without_weights_leaves_a_gap_and_the_other_unharmed(both, make, checkpoints):
    _, whole = both
    for name, kept, lost in ((DINO, "frechet", COLUMN), ("squeezenet", COLUMN, "frechet")):
        path = checkpoints / PUBLISHED[name].name
        data = path.read_bytes()
        path.unlink()
        try:
            run = make(BOTH)
            rows = by_signal(reported(run))
            report = f"reports/run/{run.operator}/report.md"
            text = run.workspace.store.read(report).decode()
        finally:
            path.write_bytes(data)
        for signal, row in rows.items():
            assert row[kept] == whole[signal][kept]
            assert row[lost] is None
        assert f"the weights of the network ({name}) could not be had" in text
