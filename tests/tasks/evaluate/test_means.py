"""Means and paired differences, from hand-made metric tables."""

import math

import numpy as np
import pytest

from tasks.evaluate.means import means_of
from tasks.evaluate.overlap import LeftOut
from tasks.evaluate.score_tables import ScoreTables
from tasks.io.artifacts.metrics import write_scores
from tasks.io.workspace import CURVE, INPUT, Signal, Workspace, metrics_folder

ENHANCED = Signal("enhanced", 0.0)


@pytest.fixture
def tables(tmp_path):
    """Writes PSNRs by key, a dict for each shard, as the tables of a signal."""
    workspace = Workspace(str(tmp_path))

    def write(signal, *shards, alphas=(None,)):
        names = [f"shard-{i:06d}" for i in range(len(shards))]
        for name, values in zip(names, shards, strict=True):
            path = workspace.store.local(f"{metrics_folder('run', 'op', signal)}/{name}.parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {"key": key, "alpha": a, "psnr": psnr + (a or 0), "status": "ok", "mse": psnr}
                if psnr is not None
                else {"key": key, "alpha": a, "status": "refused"}
                for key, psnr in values.items()
                for a in alphas
            ]
            write_scores(rows, path, {})
        return ScoreTables(workspace, "run", "op", signal, names)

    return write


@pytest.fixture
def workspace_of(tmp_path):
    """Writes distances to the input by key, of images without a reference."""

    def write(levels):
        workspace = Workspace(str(tmp_path))
        folder = metrics_folder("run", "op", ENHANCED)
        path = workspace.store.local(f"{folder}/shard-000000.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"key": key, "status": "unscored", "indrmse": v} for key, v in levels.items()]
        write_scores(rows, path, {})
        return ScoreTables(workspace, "run", "op", ENHANCED, ["shard-000000"])

    return write


def test_differences_are_between_equal_keys_whatever_the_order(tables):
    before = tables(INPUT, {"a": 20.0, "b": 30.0}, {"c": 25.0})
    after = tables(ENHANCED, {"b": 29.0, "a": 18.0}, {"c": 22.0})
    row = means_of(after, (ENHANCED,), before)[0.0]
    assert row["psnr_change"] == pytest.approx(-2)
    assert row["psnr_change_error"] == pytest.approx(np.std([-1, -2, -3]) / math.sqrt(3))
    assert row["psnr"] == pytest.approx(23)
    assert row["psnr_error"] == pytest.approx(np.std([29, 18, 22]) / math.sqrt(3))


def test_images_without_the_metric_on_either_side_have_no_difference(tables):
    before = tables(INPUT, {"a": 20.0, "b": None, "c": 21.0, "d": 20.0})
    after = tables(ENHANCED, {"a": 19.0, "b": 29.0, "c": None, "e": 1.0})
    row = means_of(after, (ENHANCED,), before)[0.0]
    assert (row["psnr_change"], row["psnr_change_error"]) == (pytest.approx(-1), None)
    assert (row["images"], row["psnr_change_images"]) == (3, 1)


def test_infinite_ratios_count_only_where_there_are_no_others(tables):
    before = tables(INPUT, {"a": 20.0, "b": math.inf, "c": math.inf})
    after = tables(ENHANCED, {"a": 19.0, "b": math.inf, "c": 30.0})
    row = means_of(after, (ENHANCED,), before)[0.0]
    assert (row["images"], row["psnr_change_images"]) == (3, 1)
    assert row["psnr_change"] == pytest.approx(-1)
    same = tables(INPUT, {"b": math.inf}), tables(ENHANCED, {"b": math.inf})
    assert means_of(same[1], (ENHANCED,), same[0])[0.0]["psnr_change"] is None
    all_equal = tables(INPUT, {"b": 30.0}), tables(ENHANCED, {"b": math.inf})
    assert means_of(all_equal[1], (ENHANCED,), all_equal[0])[0.0]["psnr_change"] == math.inf


def test_every_point_of_the_curve_is_compared_with_the_input(tables):
    before = tables(INPUT, {"a": 20.0, "b": 30.0}, {})
    after = tables(CURVE, {"a": 19.0, "b": 28.0}, {}, alphas=(0.0, 0.5))
    points = (Signal("curve", 0.0), Signal("curve", 0.5))
    rows = means_of(after, points, before)
    assert rows[0.0]["psnr_change"] == pytest.approx(-1.5)
    assert rows[0.5]["psnr_change"] == pytest.approx(-1.0)
    assert rows[0.5]["psnr_change_error"] == pytest.approx(0.5 / math.sqrt(2))


def test_without_the_inputs_metrics_there_are_means_alone(tables):
    row = means_of(tables(ENHANCED, {"a": 19.0, "b": 21.0}), (ENHANCED,), None)[0.0]
    assert row["psnr"] == 20
    assert (row["psnr_change"], row["psnr_change_error"]) == (None, None)


def test_the_distance_to_the_input_is_a_root_of_a_mean_of_squares(workspace_of):
    """As in Ohayon et al. 2024, whose IndRMSE is the root over all pixels of all images."""
    levels = {"a": 3.0, "b": 4.0, "c": 12.0}
    row = means_of(workspace_of(levels), (ENHANCED,), None)[0.0]
    squares = np.square([3.0, 4.0, 12.0])
    assert row["indrmse"] == pytest.approx(math.sqrt(169 / 3))
    spread = np.std(squares) / math.sqrt(3)
    assert row["indrmse_error"] == pytest.approx(spread / (2 * row["indrmse"]))


def test_images_without_a_reference_count_where_none_is_needed(workspace_of):
    row = means_of(workspace_of({"a": 3.0, "b": 5.0}), (ENHANCED,), None)[0.0]
    assert (row["images"], row["psnr"]) == (0, None)
    assert row["indrmse"] == pytest.approx(math.sqrt(17))
    out = LeftOut(scored=frozenset("a"), featured=frozenset("b"))
    assert means_of(workspace_of({"a": 3.0, "b": 5.0}), (ENHANCED,), None, out)[0.0][
        "indrmse"
    ] == pytest.approx(3)


def test_distances_to_the_input_of_zero_have_no_error(workspace_of):
    row = means_of(workspace_of({"a": 0.0, "b": 0.0}), (ENHANCED,), None)[0.0]
    assert (row["indrmse"], row["indrmse_error"]) == (0, 0)
