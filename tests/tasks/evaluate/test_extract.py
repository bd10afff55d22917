"""Features of a data set's own images: taken once, told apart by network, refusals counted."""

import dataclasses
import shutil

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

import tasks.evaluate.extract
from tasks.evaluate.extract import TOO_SMALL, extract_features, plan_extraction, write_features
from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import extractors
from tasks.io.networks.features.extractors import extractor_identity, feature_folder, load_extractor
from tasks.io.networks.published_weights import PUBLISHED
from tests.support.pictures import encode

KEYS = ["a/0", "a/2", "a/4", "a/6", "b/1", "b/3", "b/5", "b/7"]


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """A hub folder with random weights of SqueezeNet, and no way to any other."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    path = tmp_path / "torch" / "hub" / "checkpoints" / PUBLISHED["squeezenet"].name
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    extractors._load_extractor.cache_clear()
    yield path
    extractors._load_extractor.cache_clear()


@pytest.fixture
def sharded(tmp_path, steps, photographs):
    """A run with features, up to its shards."""

    def make(corpora=None, name="workspace", **sections):
        corpora = corpora or {
            "restored": photographs["restored"],
            "reference": photographs["natural"],
        }
        sections["evaluate"] = {"features": "squeezenet", **sections.get("evaluate", {})}
        run = steps(tmp_path / name, corpora, **sections)
        run.shard()
        return run

    return make


def planned(run):
    return list(plan_extraction(run.opened))


def jobs_of(run):
    return {unit.unit: unit.job for unit in planned(run) if unit.job is not None}


def extracted(run):
    """Outcomes by shard."""
    return {shard: write_features(job) for shard, job in jobs_of(run).items()}


def tables(run, dataset="reference"):
    folder = run.workspace.store.local(
        f"features/{dataset}/{feature_folder(extractor_identity('squeezenet'))}"
    )
    return [polars.read_parquet(path) for path in sorted(folder.iterdir())]


def test_a_unit_for_every_shard_with_its_images(sharded):
    run = sharded()
    assert [(unit.unit, unit.images) for unit in planned(run)] == [
        ("shard-000000", 3),
        ("shard-000001", 3),
        ("shard-000002", 2),
    ]
    assert {job.dataset for job in jobs_of(run).values()} == {"reference"}


def test_a_table_has_the_features_of_the_images_in_order_of_keys(sharded, photographs):
    run = sharded()
    outcomes = extracted(run)
    assert [(each.images, each.refused) for each in outcomes.values()] == [
        (3, {}),
        (3, {}),
        (2, {}),
    ]
    found = polars.concat(tables(run))
    assert found["key"].to_list() == KEYS
    extractor = load_extractor("squeezenet", "cpu")
    for key, features in found.iter_rows():
        pixels = np.array(Image.open(photographs["natural"] / f"{key}.png"))
        expected = extractor(torch.from_numpy(pixels).movedim(-1, 0)[None]).features[0]
        torch.testing.assert_close(torch.tensor(features), expected)


def test_the_batch_changes_no_feature_beyond_rounding(sharded):
    runs = [sharded(name=f"batch-{size}", compute={"batch": size}) for size in (1, 8)]
    for run in runs:
        extracted(run)
    one, eight = (polars.concat(tables(run)) for run in runs)
    assert one["key"].to_list() == eight["key"].to_list()
    torch.testing.assert_close(
        torch.tensor(one["features"].to_list()), torch.tensor(eight["features"].to_list())
    )


def test_features_are_taken_once(sharded):
    run = sharded()
    extracted(run)
    assert jobs_of(run) == {}
    assert [unit.images for unit in planned(run)] == [3, 3, 2]
    others = ({"compute": {"batch": 2}}, {"enhance": {"alphas": [0.25]}}, {"fit": {"seed": 3}})
    for sections in others:
        assert jobs_of(sharded(**sections)) == {}


def test_another_network_has_a_folder_of_its_own(sharded, weights):
    run = sharded()
    extracted(run)
    first = run.workspace.store.local("features/reference")
    torch.manual_seed(1)
    torch.save(squeezenet1_1(weights=None).state_dict(), weights)
    extractors._load_extractor.cache_clear()
    assert len(jobs_of(run)) == 3
    extracted(run)
    assert len(list(first.iterdir())) == 2


def test_a_changed_image_redoes_its_shard_alone(sharded, photographs, tmp_path, pixels):
    reference = shutil.copytree(photographs["natural"], tmp_path / "reference")
    corpora = {"restored": photographs["restored"], "reference": reference}
    extracted(sharded(corpora))
    Image.fromarray(pixels(99, 21, 17)).save(reference / "b/7.png")
    jobs = jobs_of(sharded(corpora))
    assert list(jobs) == ["shard-000002"]
    assert jobs["shard-000002"].targets()[0].replaces


def test_a_damaged_image_is_counted_and_has_no_features(sharded, photographs, tmp_path, pixels):
    reference = shutil.copytree(photographs["natural"], tmp_path / "reference")
    (reference / "a/4.png").unlink()
    (reference / "a/4.jpg").write_bytes(encode(pixels(4), "jpeg")[:-300])
    run = sharded({"restored": photographs["restored"], "reference": reference})
    outcomes = extracted(run)
    assert [(each.images, each.refused) for each in outcomes.values()] == [
        (3, {"damaged": 1}),
        (3, {}),
        (2, {}),
    ]
    assert polars.concat(tables(run))["key"].to_list() == [key for key in KEYS if key != "a/4"]


def test_images_too_small_for_the_network_are_counted_and_have_no_features(sharded, monkeypatch):
    monkeypatch.setattr(
        tasks.evaluate.extract,
        "load_extractor",
        lambda *_: dataclasses.replace(load_extractor("squeezenet", "cpu"), shortest_side=22),
    )
    run = sharded()
    refused = [outcome.refused for outcome in extracted(run).values()]
    kind = TOO_SMALL.partition(":")[0]
    assert refused == [{}, {kind: 1}, {kind: 2}]
    assert [len(table) for table in tables(run)] == [3, 2, 0]


def test_batches_that_do_not_fit_are_halved_and_images_that_do_not_are_counted(
    sharded, monkeypatch, memory_limits
):
    whole = load_extractor("squeezenet", "cpu")

    def cramped(images):
        if len(images) > 1 or images.shape[2] == 24:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole.run(images)

    monkeypatch.setattr(
        tasks.evaluate.extract, "load_extractor", lambda *_: dataclasses.replace(whole, run=cramped)
    )
    run = sharded(shards={"images": 8})
    (outcome,) = extracted(run).values()
    assert outcome.refused == {"out of memory on the device": 5}
    assert outcome.remarks == {"batch_reduced_to": 1}
    assert polars.concat(tables(run))["key"].to_list() == ["a/6", "b/5", "b/7"]


def test_a_device_without_room_fails_the_shard_for_now(sharded, monkeypatch, memory_limits):
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    network = dataclasses.replace(load_extractor("squeezenet", "cpu"), run=full)
    monkeypatch.setattr(tasks.evaluate.extract, "load_extractor", lambda *_: network)
    run = sharded()
    with pytest.raises(OSError, match="must have room to extract an image of 768 pixels"):
        extracted(run)
    assert run.workspace.ledger.survey("features").artifacts() == []


def test_the_record_says_what_was_counted(sharded):
    run = sharded()
    extracted(run)
    survey = run.workspace.ledger.survey("features/reference")
    facts = [
        run.workspace.ledger.facts(record)
        for artifact in survey.artifacts()
        for record in survey.records(artifact)
    ]
    assert [fact["images"] for fact in facts] == [3, 3, 2]
    assert all(fact["refused"] == {} for fact in facts)


def test_the_task_reports_the_outcome(sharded):
    job = jobs_of(sharded())["shard-000002"]
    assert extract_features.fn(job).images == 2


def test_without_a_network_nothing_is_extracted(sharded):
    assert planned(sharded(evaluate={"features": None})) == []


def test_without_weights_nothing_is_extracted(sharded, weights):
    weights.unlink()
    assert planned(sharded()) == []


def test_weights_that_vanish_before_the_task_runs_are_told(sharded, weights):
    job = next(iter(jobs_of(sharded()).values()))
    weights.unlink()
    with pytest.raises(WeightsMissing, match=r"feature network squeezenet needs"):
        write_features(job)


@pytest.mark.parametrize(
    ("against", "dataset"), [(None, "reference"), ("reference", "reference"), ("natural", "nature")]
)
def test_features_are_those_of_the_data_set_to_compare_with(sharded, photographs, against, dataset):
    corpora = {
        "restored": photographs["restored"],
        "reference": photographs["natural"],
        "natural": {"path": str(photographs["natural"]), "name": "nature", "limit": 4},
    }
    run = sharded(corpora, evaluate={"against": against})
    extracted(run)
    assert sum(map(len, tables(run, dataset))) == (4 if dataset == "nature" else 8)
    assert len(list(run.workspace.store.local("features").iterdir())) == 1


def test_the_table_says_what_it_holds(sharded):
    run = sharded()
    extracted(run)
    folder = next(run.workspace.store.local("features/reference").iterdir())
    schema = pq.read_schema(next(folder.iterdir()))
    assert schema.names == ["key", "features"]
    assert schema.field("features").metadata[b"meaning"]
