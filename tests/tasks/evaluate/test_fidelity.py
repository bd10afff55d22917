"""Means with their errors against numpy and a real bootstrap; warnings; the fidelity table."""

import json
import math
import shutil
import threading

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tasks.evaluate.fidelity import measure_fidelity, plan_fidelity, read_fidelity, write_fidelity
from tasks.evaluate.summarise import (
    SummaryJob,
    metric_names,
    plan_summary,
    read_summary,
    summary_facts,
    write_summary,
)
from tasks.io.artifacts.metric_registry import metrics_of
from tasks.io.artifacts.metrics import fidelity_schema, write_scores
from tasks.io.store import Store
from tasks.io.workspace import Signal, Workspace
from tasks.jobs import Target

ENHANCED = Signal("enhanced", 0.0)

# Means and their errors


@pytest.fixture
def measured(finished, tmp_path, steps, photographs):
    """Puts numbers in place of the metrics of a run at alpha 0, shard by shard, and averages."""
    shutil.copytree(finished.config.workspace, tmp_path / "workspace")
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    # Another sample: or everything would be done.
    run = steps(tmp_path / "workspace", corpora, evaluate={"sample": 200})

    (job,) = (unit.job for unit in plan_fidelity(run.fitted) if unit.unit == ENHANCED.label)

    def average(shards):
        folder = f"metrics/run/{run.operator}/{ENHANCED.folder}"
        for shard, rows in zip(job.shards, shards, strict=True):
            path = run.workspace.store.local(f"{folder}/{shard}.parquet")
            write_scores([{"alpha": 0.0, "status": "ok", **row} for row in rows], path, {})
        (row,) = write_fidelity(job)
        assert read_fidelity(run.workspace, job.target.artifact) == [row]
        return row

    return average


def in_three(rows):
    """The rows in three shards of different sizes."""
    return [rows[:1], rows[1:5], rows[5:]]


@pytest.fixture
def numbers():
    """Thirty values of each metric, of the sizes that metrics have."""
    rng = np.random.default_rng(1)
    return {
        "mse": rng.gamma(2, 1e-3, 30),
        "psnr": rng.normal(27, 3, 30),
        "ssim": rng.beta(9, 2, 30),
        "lpips": rng.beta(2, 9, 30),
    }


def rows_with(numbers):
    count = len(next(iter(numbers.values())))
    return [{name: float(values[i]) for name, values in numbers.items()} for i in range(count)]


def test_means_are_those_of_numpy(measured, numbers):
    row = measured(in_three(rows_with(numbers)))
    assert row["images"] == 30
    for name, values in numbers.items():
        assert row[name] == pytest.approx(values.mean(), rel=1e-12)


def test_an_error_is_the_deviation_over_the_root_of_the_images(measured, numbers):
    row = measured(in_three(rows_with(numbers)))
    for name, values in numbers.items():
        assert row[f"{name}_error"] == pytest.approx(values.std(ddof=0) / math.sqrt(30), rel=1e-9)


def test_an_error_is_what_a_bootstrap_finds(measured, numbers):
    row = measured(in_three(rows_with(numbers)))
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, 30, (2000, 30))
    for name, values in numbers.items():
        spread = values[drawn].mean(axis=1).std()
        # 2000 replicates know a deviation to 1/√4000, some 1.6 %: this is six times that.
        assert row[f"{name}_error"] == pytest.approx(spread, rel=0.1)


def test_means_and_errors_do_not_depend_on_sharding(measured, numbers):
    rows = rows_with(numbers)
    one, other = measured(in_three(rows)), measured([rows[:20], [], rows[20:]])
    for name in (metric.column for metric in metrics_of("image") if metric.column in numbers):
        assert other[name] == pytest.approx(one[name], rel=1e-12)
        assert other[f"{name}_error"] == pytest.approx(one[f"{name}_error"], rel=1e-9)


def test_tables_and_records_of_all_shards_are_read_side_by_side(measured, monkeypatch):
    together = {start: threading.Barrier(3, timeout=30) for start in ("metrics/", "ledger/metrics")}
    read = Store.read

    def meeting(self, path):
        for start, barrier in together.items():
            if path.startswith(start):
                barrier.wait()  # breaks where they come one after the other
        return read(self, path)

    monkeypatch.setattr(Store, "read", meeting)
    assert measured(in_three([{"mse": 0.25}] * 8))["images"] == 8


def test_a_tiny_spread_around_a_large_mean_is_not_lost(measured):
    values = 40 + 1e-6 * np.arange(30)
    row = measured(in_three(rows_with({"psnr": values})))
    assert row["psnr_error"] == pytest.approx(values.std() / math.sqrt(30), rel=1e-6)


def test_one_image_has_a_mean_and_no_error(measured):
    row = measured([[{"mse": 0.01, "psnr": 20.0}], [], []])
    assert (row["images"], row["mse"], row["psnr"]) == (1, 0.01, 20.0)
    assert (row["mse_error"], row["psnr_error"]) == (None, None)


def test_equal_images_have_an_error_of_zero(measured):
    row = measured(in_three([{"mse": 0.25}] * 8))
    assert (row["mse"], row["mse_error"]) == (0.25, 0)


def test_unscored_and_refused_images_count_in_no_mean(measured):
    rows = [{"mse": 0.5}, {"status": "unscored"}, {"mse": 0.25}, {"status": "refused"}]
    row = measured(in_three([*rows, *rows]))
    assert (row["images"], row["mse"]) == (4, 0.375)


def test_a_metric_that_no_image_has_is_null(measured):
    row = measured(in_three([{"mse": 0.25}] * 8))
    assert (row["lpips"], row["lpips_error"], row["ssim"]) == (None, None, None)


def test_a_metric_that_some_images_lack_is_the_mean_of_the_others(measured):
    row = measured(in_three([{"ssim": 0.5}, {"ssim": 0.7}, *[{"mse": 0.1}] * 4]))
    assert row["images"] == 6
    assert row["ssim"] == pytest.approx(0.6)
    assert row["ssim_error"] == pytest.approx(0.1 / math.sqrt(2))


@pytest.mark.parametrize(
    ("psnr", "mean", "error"),
    [
        ([20.0, 30.0, math.inf], 25.0, 5 / math.sqrt(2)),
        ([20.0, math.inf, math.inf], 20.0, None),
        ([math.inf] * 3, math.inf, None),
        ([], None, None),
    ],
)
def test_an_infinite_ratio_counts_only_where_all_are_infinite(measured, psnr, mean, error):
    row = measured([[{"psnr": value} for value in psnr], [], []])
    assert row["psnr"] == mean
    assert row["psnr_error"] == (None if error is None else pytest.approx(error))
    assert row["images"] == len(psnr)


# Plans


def test_every_signal_is_measured_once_and_again_when_its_sample_changes(
    finished, steps, photographs
):
    units = list(plan_fidelity(finished.fitted))
    assert [unit.unit for unit in units] == [
        "alpha 0",
        "alpha 0.5",
        "alpha 1",
        "input",
        "codec",
        "codec_input",
    ]
    assert {(unit.images, unit.job) for unit in units} == {(8, None)}
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    other = steps(finished.config.workspace, corpora, evaluate={"sample": 200})
    units = list(plan_fidelity(other.fitted))
    assert all(unit.job.target.replaces for unit in units)


def test_the_task_reports_the_images_behind_a_signal(finished, tmp_path, steps, photographs):
    shutil.copytree(finished.config.workspace, tmp_path / "workspace")
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora, evaluate={"sample": 200})
    unit = next(iter(plan_fidelity(run.fitted)))
    assert measure_fidelity.fn(unit.job).images == 8


# The summary of hand-made rows


@pytest.fixture
def summarised(tmp_path):
    """Gathers hand-made rows, one signal each, into a fidelity table; returns its place."""

    def gather(rows, names=None):
        workspace = Workspace(str(tmp_path))
        folder = tmp_path / "reports" / "run" / "op" / "signals"
        folder.mkdir(parents=True, exist_ok=True)
        signals = tuple(Signal("enhanced", float(number)) for number in range(len(rows)))
        for signal, row in zip(signals, rows, strict=True):
            full = {"signal": signal.name, "alpha": signal.alpha, "images": 9, **row}
            (folder / f"{signal.folder}.json").write_text(json.dumps([full]))
        artifact = "reports/run/op/fidelity"
        write_summary(
            SummaryJob(
                workspace=workspace.url,
                target=Target(artifact=artifact, fingerprint="0" * 32),
                dataset="run",
                results="op",
                signals=signals,
                shards=(),
                max_bad_fraction=1,
                names=names or {"frechet_name": "FID", "kernel_name": "KID"},
            )
        )
        return workspace, artifact

    return gather


def told(summary):
    """What the summary warns of."""
    return json.loads(summary_facts(*summary)["warnings"])


ENOUGH = {
    "featured": 2048,
    "reference_images": 2048,
    "dimension": 2048,
    "subset_size": 1000,
    "frechet": 3.0,
}


def test_enough_images_are_no_warning(summarised):
    assert told(summarised([ENOUGH, ENOUGH])) == []


@pytest.mark.parametrize("side", ["featured", "reference_images"])
def test_fewer_images_than_features_are_a_warning_on_either_side(summarised, side):
    (warning,) = told(summarised([ENOUGH, ENOUGH | {side: 2047}]))
    counts = {"featured": 2048, "reference_images": 2048, side: 2047}
    assert warning.startswith(
        "FID compares covariances of 2048 features, but there are "
        f"{counts['featured']} images and {counts['reference_images']} to compare with: below "
        "2048 of each it is far too large"
    )


def test_small_subsets_of_the_kernel_distance_are_a_warning(summarised):
    names = {"frechet_name": "FD-x", "kernel_name": "KD-x"}
    (warning,) = told(summarised([ENOUGH, ENOUGH | {"subset_size": 999}], names))
    assert warning.startswith("KD-x is averaged over subsets of 999 images instead of 1000")


def test_both_warnings_stand_side_by_side(summarised):
    few = ENOUGH | {"featured": 200, "reference_images": 200, "subset_size": 100}
    assert [warning.split()[0] for warning in told(summarised([few]))] == ["FID", "KID"]


def test_a_signal_without_features_takes_no_part_in_warnings(summarised):
    assert told(summarised([ENOUGH, {"featured": 0}, {}])) == []
    assert told(summarised([{"featured": 0}, {}])) == []
    assert told(summarised([{"featured": 8}])) == []  # nothing to compare with


def test_small_splits_of_the_inception_score_are_a_warning(summarised):
    scored = ENOUGH | {"inception_score": 3.0}
    (warning,) = told(summarised([scored | {"featured": 4990}, scored | {"featured": 5000}]))
    assert warning.startswith("The Inception Score is a mean over splits of about 499 images")
    assert told(summarised([scored | {"featured": 5000}])) == []


@pytest.mark.parametrize("side", ["featured", "reference_images"])
def test_precision_and_recall_of_few_images_are_a_warning(summarised, side):
    many = ENOUGH | {"featured": 1000, "reference_images": 1000, "dimension": 64, "precision": 0.5}
    assert told(summarised([many])) == []
    (warning,) = told(summarised([many | {side: 999}]))
    counts = {"featured": 1000, "reference_images": 1000, side: 999}
    assert warning.startswith(
        f"Precision and recall of {counts['featured']} images and {counts['reference_images']}"
    )


def test_names_come_with_the_digests_of_the_weights(steps, photographs, tmp_path, monkeypatch):
    identity = {"sha256": "a" * 64}
    monkeypatch.setattr("tasks.evaluate.summarise.lpips_identity", lambda *_: identity)
    monkeypatch.setattr("tasks.evaluate.summarise.extractor_identity", lambda *_: identity)
    wanted = {"features": "squeezenet", "lpips": "vgg"}
    names = metric_names(steps(tmp_path, photographs, evaluate=wanted).config)
    assert (names["lpips_sha256"], names["features_sha256"]) == ("a" * 64, "a" * 64)


def test_sizes_are_in_the_metadata(summarised):
    facts = summary_facts(*summarised([ENOUGH, ENOUGH | {"subset_size": 900}]))
    sizes = {name: facts[name] for name in ("dimension", "reference_images", "subset_size")}
    assert sizes == {"dimension": "2048", "reference_images": "2048", "subset_size": "900"}
    assert "dimension" not in summary_facts(*summarised([{"featured": 0}]))


def test_infinity_and_null_come_back_from_the_table(summarised):
    rows = read_summary(*summarised([{"psnr": math.inf}, {"psnr": None}, {}]))
    assert [row["psnr"] for row in rows] == [math.inf, None, None]


# The table for other tools


@pytest.fixture
def table(finished):
    """The fidelity table of a run, as a file."""
    return finished.workspace.store.local(f"reports/run/{finished.operator}/fidelity.parquet")


def test_every_column_of_the_fidelity_table_says_its_unit_and_meaning(table):
    schema = pq.read_schema(table)
    assert schema.names == fidelity_schema().names
    for field in schema:
        assert field.metadata[b"meaning"]
        assert b"unit" in field.metadata
        assert field.metadata[b"unit"] or field.type in (pa.string(), pa.int64())
    assert {n for n in schema.names if schema.field(n).metadata[b"unit"] == b"dB"} == {
        "psnr",
        "psnr_error",
        "psnr_change",
        "psnr_change_error",
    }


def test_every_row_has_every_column(table):
    assert pq.read_table(table).num_rows == 6
    assert pq.read_schema(table).types == fidelity_schema().types


def test_pyarrow_duckdb_and_polars_read_the_same_fidelity_table(table):
    rows = pq.read_table(table).to_pylist()
    assert pyarrow.dataset.dataset(table).to_table().to_pylist() == rows
    assert polars.read_parquet(table).to_dicts() == rows
    best = max(rows, key=lambda row: row["psnr"])
    names = ("signal", "alpha", "images", "psnr", "psnr_error", "frechet")
    query = f"select {', '.join(names)} from read_parquet(?) order by psnr desc limit 1"
    found = duckdb.execute(query, [str(table)]).fetchall()
    assert found == [tuple(best[name] for name in names)]


def test_names_without_networks_are_those_of_no_metric(finished):
    assert metric_names(finished.config) == {}


def test_names_of_networks_that_are_not_there_yet_are_the_published_ones(
    steps, photographs, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    named = {
        network: metric_names(
            steps(tmp_path, photographs, evaluate={"features": network, "lpips": "vgg"}).config
        )
        for network in ("inception-v3-compat", "squeezenet")
    }
    assert named["inception-v3-compat"] == {
        "lpips_name": "LPIPS-vgg",
        "network": "inception-v3-compat",
        "frechet_name": "FID",
        "kernel_name": "KID",
        "cmmd_name": "CMMD",
        "mind_name": "MIND",
        "compared_with": "other photographs",
        "compared_dataset": "natural",
    }
    assert named["squeezenet"]["frechet_name"] == "FD-squeezenet"
    assert named["squeezenet"]["kernel_name"] == "KD-squeezenet"


def test_a_summary_is_made_again_when_a_signal_is_added(finished, steps, photographs, tmp_path):
    shutil.copytree(finished.config.workspace, tmp_path / "workspace")
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    fewer = steps(tmp_path / "workspace", corpora, enhance={"alphas": [0.5]})
    artifact, job = plan_summary(fewer.fitted)
    assert job.target.replaces
    write_summary(job)
    assert [row["alpha"] for row in read_summary(fewer.workspace, artifact)] == [0.5, *[None] * 3]
