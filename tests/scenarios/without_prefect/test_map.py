"""The map of two dials: a curve for each share of low frequencies, measured in the same pass."""

import shutil

import numpy as np
import polars
import pytest
from workspaces import plain_pipeline as pipeline

from tasks.enhance.signals import signals_to_score
from tasks.io.workspace import CURVE, Signal, map_of, metrics_folder

ALPHAS = [-0.5, 0.0, 0.5, 1.0]
GRID = {"start": -0.5, "stop": 1, "step": 0.5}
SHARES = [0.0, 0.5, 1.0]
SEEN = {"lpips": "squeeze", "features": "squeezenet", "controls": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory, steps, larger, squeezenet_weights):
    """Makes the steps of a configuration, by default with a map."""
    folder = tmp_path_factory.mktemp("map")

    def make(shares=SHARES, workspace=folder, networks=False, **enhance):
        curve = GRID | {"low_shares": shares, "networks": networks}
        return steps(
            workspace,
            larger,
            enhance={"alphas": [0.5], "low_sigma": 2} | enhance,
            evaluate=SEEN | {"curve": curve},
        )

    return make


@pytest.fixture(scope="module")
def mapped(made):
    """A finished run with a map, and its rows of the fidelity table."""
    run = made()
    return run, pipeline.run(run.config)


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    """The same images as they are written, at each share and alpha: a run for each share."""
    folder = tmp_path_factory.mktemp("written")
    runs = {}
    for share in SHARES:
        run = made((), folder / f"{share}", alphas=ALPHAS, low_share=share)
        runs[share] = run, pipeline.run(run.config)
    return runs


def scores_of(run):
    folder = run.workspace.store.local(f"metrics/run/{run.operator}")
    return polars.read_parquet(f"{folder}/**/*.parquet")


def made_again(run):
    """The signals whose tables and tars a plan wants made."""
    return {
        output.signal for job in run.enhancement_jobs() for output in (*job.tables, *job.enhanced)
    }


def test_the_map_has_a_row_for_every_image_share_and_alpha(mapped):
    run, rows = mapped
    table = scores_of(run).filter(signal="map")
    keys = table.select("key", "low_share", "alpha").rows()
    assert sorted(keys) == [(str(i), s, a) for i in range(4) for s in SHARES for a in ALPHAS]
    assert scores_of(run).filter(polars.col("signal") != "map")["low_share"].null_count() == 20
    points = [(row["low_share"], row["alpha"]) for row in rows if row["signal"] == "map"]
    assert points == [(share, alpha) for share in SHARES for alpha in ALPHAS]


@pytest.mark.parametrize("share", SHARES)
def test_the_map_has_the_numbers_of_images_written_at_that_share(mapped, written, share):
    run, rows = mapped
    other, other_rows = written[share]
    ours = scores_of(run).filter(signal="map", low_share=share)
    theirs = scores_of(other).filter(signal="enhanced")
    both = ours.join(theirs, on=["key", "alpha"], suffix="_written")
    assert both.height == 4 * len(ALPHAS)
    for name in ("mse", "psnr", "ssim", "indrmse", "lpips"):
        np.testing.assert_allclose(both[name], both[f"{name}_written"], rtol=1e-4)  # float32
    expected = {row["alpha"]: row for row in other_rows if row["signal"] == "enhanced"}
    for row in rows:
        if row["signal"] == "map" and row["low_share"] == share:
            for name in ("psnr", "lpips", "frechet"):
                assert row[name] == pytest.approx(expected[row["alpha"]][name], rel=1e-3)


def test_shares_differ_and_networks_see_no_other_curve(mapped):
    rows = {(row["signal"], row["low_share"], row["alpha"]): row for row in mapped[1]}
    at_0 = [rows["map", share, 0.0] for share in SHARES]
    assert len({row["psnr"] for row in at_0}) == len({row["frechet"] for row in at_0}) == 3
    assert {rows["curve", None, alpha]["frechet"] for alpha in ALPHAS} == {None}
    assert rows["curve", None, 0.0]["psnr"] == at_0[0]["psnr"]  # the share of the run is 0


def test_nothing_is_made_without_a_map_and_asking_for_one_makes_nothing_else_again(
    made, mapped, tmp_path
):
    shutil.copytree(mapped[0].config.workspace, tmp_path / "workspace")
    without = made((), tmp_path / "workspace")
    assert not [signal for signal in signals_to_score(without.config) if signal.name == "map"]
    assert made_again(without) == set()
    assert made_again(made(workspace=tmp_path / "workspace")) == set()
    more = made([0.0, 0.25, 1.0], tmp_path / "workspace")
    assert made_again(more) == set(map_of([0.25]))
    rows = [row for row in pipeline.run(more.config) if row["signal"] == "map"]
    assert list(dict.fromkeys(row["low_share"] for row in rows)) == [0.0, 0.25, 1.0]


def test_a_curve_of_the_map_that_is_missing_is_made_alone_for_its_shard(made, mapped, tmp_path):
    shutil.copytree(mapped[0].config.workspace, tmp_path / "workspace")
    run = made(workspace=tmp_path / "workspace")
    (signal,) = map_of([0.5])
    folder = metrics_folder("run", run.operator, signal)
    path = run.workspace.store.local(f"{folder}/shard-000000.parquet")
    before = path.read_bytes()
    for record in run.workspace.ledger.records(f"{folder}/shard-000000"):
        run.workspace.store.local(record.path).unlink()
    (job,) = run.enhancement_jobs()
    assert (job.shard, [output.signal for output in job.tables]) == ("shard-000000", [signal])
    pipeline.run(run.config)
    assert path.read_bytes() == before


def test_the_share_of_the_configuration_does_not_matter_to_the_map_and_its_sigma_does(made):
    again = [made_again(made(**{name: 0.5})) for name in ("low_share", "low_sigma")]
    of_share, of_sigma = ({signal for signal in each if signal.name == "map"} for each in again)
    assert of_share == set()
    assert of_sigma == set(map_of([0.0, 0.5]))  # at 1 all frequencies move alike


def test_networks_of_the_curve_do_not_matter_to_the_map(made):
    assert made_again(made(networks=True)) == {CURVE}


def test_there_is_no_map_with_latent_interpolation(made):
    run = made(interpolation="latent")
    assert {signal.name for signal in signals_to_score(run.config)} == {"enhanced"}


def test_points_of_the_map_have_folders_and_names_of_their_own():
    line, point = Signal("map", low_share=0.5), Signal("map", -0.1, 0.5)
    assert (line.folder, point.folder) == (
        "map/low_share+0.50",
        "map/low_share+0.50/alpha-0.10",
    )
    assert point.label == "alpha -0.1, low_share 0.5"
