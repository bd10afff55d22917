"""The registry of metrics: its rules, and that an entry is all that others need of a metric."""

import inspect
import json

import polars
import pytest

import tasks.enhance.scoring
from flows.cli.bounds import bounded_metrics, with_bounds
from tasks.evaluate.bounds import Bound, metric_named
from tasks.evaluate.curve import curve_metric
from tasks.io.artifacts import metric_registry
from tasks.io.artifacts.metric_registry import (
    METRICS,
    Axis,
    Error,
    Metric,
    curve_names,
    metrics_of,
    versions_of,
)
from tasks.io.artifacts.metrics import fidelity_schema, score_schema
from tasks.report.choose import choose_alpha
from tasks.report.outcome import describe
from tasks.report.pictures.worst_and_best import find_extremes
from tasks.report.tables.names import results_units
from tasks.report.tables.results import results_table

SHARPNESS = Metric(
    column="sharpness",
    basis="image",
    better="more",
    meaning="mean gradient",
    unit="pixel",
    error=Error(column="sharpness_error"),
    version=1,
    title="Sharpness",
    digits=1,
    option="sharpness",
    bound="At least so sharp.",
)

DENSITY = Metric(
    column="density",
    basis="features",
    better="less",
    meaning="neighbours of the features",
    axis=Axis(rank=0, label="density by {frechet_name}"),
    title="density",
)

FACTS = {"frechet_name": "FID", "kernel_name": "KID", "lpips_name": "LPIPS"}


@pytest.fixture
def added(monkeypatch):
    """Two metrics more in the registry, and nothing else changed."""
    monkeypatch.setattr(metric_registry, "METRICS", (*METRICS, SHARPNESS, DENSITY))


# The rules


def test_every_column_and_option_belongs_to_one_metric():
    columns = [metric.column for metric in METRICS]
    columns += [metric.error.column for metric in METRICS if metric.error]
    assert len(columns) == len(set(columns))
    options = [metric.option for metric in METRICS if metric.option]
    assert len(options) == len(set(options))
    ranks = [metric.axis.rank for metric in METRICS if metric.axis]
    assert len(ranks) == len(set(ranks))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.column)
def test_every_metric_has_what_its_users_need(metric):
    assert metric.better is not None or metric.is_change
    if metric.basis == "image":
        assert metric.error is not None
        assert metric.digits is not None or not metric.title
    if metric.option:
        assert metric.title
    if metric.bound:
        assert metric.option


def test_every_metric_of_images_is_computed(finished):
    table = polars.read_parquet(finished.workspace.store.local(f"metrics/run/{finished.operator}"))
    table = table.filter(polars.col("signal") != "codec")  # of the reference: no change of an input
    computed = {m.column for m in metrics_of("image") if table[m.column].null_count() == 0}
    not_asked_for = {"lpips", "niqe", "dists", "clip_iqa"}
    assert computed == {m.column for m in metrics_of("image")} - not_asked_for


def test_metrics_of_the_first_release_are_no_input_of_a_fingerprint():
    versions = versions_of("image", "patches", "features")["metrics"]
    later = {metric.column for metric in METRICS if metric.version}
    assert versions.keys() == later
    assert not later & {"mse", "psnr", "ssim", "lpips", "frechet", "kernel", "gelbrich"}


# A metric more


def test_a_metric_more_is_an_input_of_the_tables_that_have_it(added):
    assert versions_of("image")["metrics"]["sharpness"] == 1
    assert "sharpness" not in versions_of("patches", "features").get("metrics", {})


def test_a_metric_more_has_columns_in_both_tables(added):
    scores, fidelity = score_schema(), fidelity_schema()
    assert scores.field("sharpness").metadata == {b"unit": b"pixel", b"meaning": b"mean gradient"}
    assert fidelity.field("sharpness").metadata[b"meaning"] == b"mean over images"
    assert fidelity.field("sharpness_error").metadata[b"unit"] == b"pixel"
    assert "density" in fidelity.names
    assert "density" not in scores.names


def test_a_metric_more_is_shown_in_the_results(added):
    row = {"signal": "enhanced", "alpha": 0.0, "images": 3, "sharpness": 2.0}
    table = results_table([row | {"sharpness_error": 0.25}], FACTS)
    assert table.titles == ["", "images", "Sharpness ↑ (pixel)"]
    cell = table.lines[0][2]
    assert (cell.text, cell.error, cell.best) == ("2.0", "± 0.2", True)
    assert results_units(FACTS)["sharpness"] == {
        "title": "Sharpness",
        "unit": "pixel",
        "better": "more",
        "error": "sharpness_error",
        "change": "sharpness_change",
        "change_error": "sharpness_change_error",
        "change_images": "sharpness_change_images",
    }


def test_alpha_can_be_chosen_by_a_metric_more(added):
    rows = [
        {"signal": "enhanced", "alpha": alpha, "psnr": 20.0, "sharpness": 3 - alpha}
        for alpha in (0.0, 0.5, 1.0)
    ]
    assert metric_named("Sharpness") == "sharpness"
    assert choose_alpha(rows, [], "sharpness").alpha == 0
    bounded = choose_alpha(rows, [Bound("sharpness", 2.5)], "psnr")
    assert bounded.alpha == 0
    names = {"psnr": "PSNR", "sharpness": "Sharpness"}
    assert "  Sharpness: 3 pixel" in describe(bounded, names)


def test_a_metric_more_has_its_option_on_the_command_line(added):
    @with_bounds
    def command(config: str, *, best: str | None = None, **limits: float | None) -> None:
        """Stands in for `dotpipe choose`."""

    assert list(inspect.signature(command).parameters) == ["config", *bounded_metrics(), "best"]
    assert bounded_metrics()["min_sharpness"] == SHARPNESS


def test_a_perceptual_distance_more_can_be_what_the_curve_is_drawn_against(added):
    rows = [{"signal": "enhanced", "alpha": 0.0, "psnr": 20.0, "density": 0.5, "frechet": 9.0}]
    assert curve_metric(rows) == DENSITY
    assert curve_names(FACTS)["density"] == "density by FID"


def test_a_metric_more_goes_through_a_whole_run(added, monkeypatch, steps, photographs, tmp_path):
    score = tasks.enhance.scoring.score

    def sharper(rendered, signal, fingerprint):
        rows = score(rendered, signal, fingerprint)
        return [row | {"sharpness": 2.0 + (signal.alpha or 0.0)} for row in rows]

    monkeypatch.setattr(tasks.enhance.scoring, "score", sharper)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora)
    rows = {(row["signal"], row["alpha"]): row for row in run.run()}
    assert rows["enhanced", 0.5]["sharpness"] == 2.5
    assert rows["enhanced", 0.5]["sharpness_error"] == 0
    (ends,) = (end for end in find_extremes(run.fitted) if end.metric == "sharpness")
    assert {extreme.value for extreme in ends.best} == {0.0}  # against the input
    read = run.workspace.store.read
    assert "Sharpness ↑ (pixel)" in read(f"reports/run/{run.operator}/report.md").decode()
    record = json.loads(read(f"reports/run/{run.operator}/run.json"))
    assert record["columns"]["sharpness"]["better"] == "more"


def test_tables_without_a_metric_more_are_made_again(finished, monkeypatch):
    assert finished.enhancement_jobs(with_images=False) == []
    monkeypatch.setattr(metric_registry, "METRICS", (*METRICS, SHARPNESS))
    jobs = finished.enhancement_jobs(with_images=False)
    assert len(jobs) == 3
    assert all(output.target.replaces for job in jobs for output in job.tables)
