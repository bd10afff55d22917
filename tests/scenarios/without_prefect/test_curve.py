"""The perception-distortion curve, against what is measured of files at written alphas."""

import shutil
import tarfile

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import skimage.metrics
import torch
from PIL import Image
from scipy import ndimage
from workspaces import plain_pipeline as pipeline

import tasks.enhance.enhance
import tasks.fit.measure
from dot_kernels import PixelCodec, transport_images
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import read_operator
from tasks.io.images.pixels import to_tensor
from tasks.io.workspace import CURVE, Signal, enhanced_folder, points_of

CURVED = {"curve": {"step": 0.5}, "controls": False}
ONE_DIAL = {"low_share": 1}
ALPHAS = [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
KEYS = ["a/0", "a/2", "a/4", "a/6", "b/1", "b/3", "b/5", "b/7"]


@pytest.fixture
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture
def curved(tmp_path, steps, corpora):
    """Makes the steps of a configuration with a curve."""

    def make(images=None, workspace="workspace", **sections):
        sections["evaluate"] = {**CURVED, **sections.get("evaluate", {})}
        return steps(tmp_path / workspace, images or corpora, **sections)

    return make


@pytest.fixture(scope="module")
def clipping(tmp_path_factory, steps, photographs):
    """A run over photographs, whose brightest and darkest pixels clip, at low frequencies too."""
    run = steps(
        tmp_path_factory.mktemp("clipping"),
        {"restored": photographs["restored"], "reference": photographs["natural"]},
        enhance=ONE_DIAL | {"alphas": ALPHAS},
        evaluate=CURVED,
    )
    return run, pipeline.run(run.config)


def scores_of(run):
    return polars.read_parquet(run.workspace.store.local(f"metrics/run/{run.operator}"))


def both(run):
    """Every image and alpha with the curve's numbers beside the measured ones."""
    table = scores_of(run)
    curve = table.filter(polars.col("signal") == "curve")
    measured = table.filter(polars.col("signal") == "enhanced")
    joined = curve.join(measured, on=["key", "alpha"], suffix="_measured")
    assert joined.height == curve.height == measured.height
    return joined


def made_again(run):
    """The signals whose tables and tars a plan wants made."""
    return {
        output.signal for job in run.enhancement_jobs() for output in (*job.tables, *job.enhanced)
    }


# Rows


def test_the_curve_has_a_row_for_every_image_and_alpha_in_order(clipping):
    run, _ = clipping
    folder = run.workspace.store.local(f"metrics/run/{run.operator}/curve")
    paths = sorted(folder.iterdir())
    assert [path.stem for path in paths] == list(run.workspace.shards("run"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert [(row["key"], row["alpha"]) for row in rows] == [
        (key, alpha) for key in KEYS for alpha in ALPHAS
    ]
    assert {(row["signal"], row["status"], row["lpips"]) for row in rows} == {("curve", "ok", None)}
    assert {(row["width"], row["height"]) for row in rows} == {(32, 24), (17, 21)}
    assert all(row["fingerprint"] for row in rows)


def test_the_curve_writes_no_images_and_without_networks_no_features(clipping):
    run, _ = clipping
    names = [entry.path for entry in run.workspace.store.list("features")]
    assert names
    assert not any("curve" in name for name in names)
    tars = run.workspace.store.local(f"enhanced/run/{run.operator}")
    assert len(list(tars.iterdir())) == len(ALPHAS)


def test_the_fidelity_table_has_a_row_for_every_point_with_means_over_images(clipping):
    run, rows = clipping
    table = scores_of(run).filter(polars.col("signal") == "curve")
    curve = [row for row in rows if row["signal"] == "curve"]
    assert [row["alpha"] for row in curve] == ALPHAS
    for row in curve:
        part = table.filter(polars.col("alpha") == row["alpha"])
        assert row["images"] == 8
        for name in ("mse", "psnr", "ssim"):
            assert row[name] == pytest.approx(part[name].mean(), rel=1e-12)
        assert (row["featured"], row["frechet"], row["gelbrich"]) == (0, None, None)


def test_images_too_small_for_similarity_have_errors_on_the_curve(
    curved, photographs, pixels, softened, tmp_path, write_images
):
    small = {f"{i}.png": pixels(i, 10, 40) for i in range(3)}
    images = {
        "restored": write_images(tmp_path / "x", {n: softened(p) for n, p in small.items()}),
        "reference": write_images(tmp_path / "y", small),
        "natural": photographs["natural"],
    }
    run = curved(images)
    pipeline.run(run.config)
    curve = scores_of(run).filter(polars.col("signal") == "curve")
    assert curve["ssim"].null_count() == curve.height == 3 * len(ALPHAS)
    assert curve["mse"].null_count() == 0


# Numbers


def images_of(run, alpha):
    """The files of an alpha by key, in [0, 1], by Pillow and NumPy."""
    images = {}
    for shard in run.workspace.shards("run"):
        folder = enhanced_folder("run", run.operator, Signal("enhanced", alpha))
        with tarfile.open(run.workspace.store.local(f"{folder}/{shard}.tar")) as tar:
            for member in (member for member in tar if member.name.endswith(".webp")):
                image = Image.open(tar.extractfile(member)).convert("RGB")
                images[member.name.removesuffix(".webp")] = np.asarray(image) / 255
    return images


def read_back(run, alpha, photographs):
    """PSNR and SSIM of the files of an alpha, by NumPy and scikit-image."""
    numbers = {}
    for key, image in images_of(run, alpha).items():
        truth = np.asarray(Image.open(photographs["natural"] / f"{key}.png")) / 255
        similarity = skimage.metrics.structural_similarity(
            image,
            truth,
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        numbers[key] = -10 * np.log10(np.square(image - truth).mean()), similarity
    return numbers


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_curve_and_the_written_alphas_have_the_numbers_of_the_files(
    clipping, photographs, alpha
):
    run, _ = clipping
    table = both(run).filter(polars.col("alpha") == alpha)
    expected = read_back(run, alpha, photographs)
    assert table.height == len(expected) == 8
    for row in table.to_dicts():
        psnr, similarity = expected[row["key"]]
        assert row["psnr_measured"] == pytest.approx(psnr, abs=1e-9)
        assert row["ssim_measured"] == pytest.approx(similarity, abs=1e-9)
        assert row["psnr"] == pytest.approx(psnr, abs=1e-9)
        assert row["ssim"] == pytest.approx(similarity, abs=1e-6)  # float32


def test_clipping_is_in_the_numbers_of_the_curve(clipping):
    """Squared errors would be a parabola over alpha without it."""
    table = scores_of(clipping[0]).filter(polars.col("signal") == "curve")
    inner = table.filter(polars.col("alpha").is_between(0, 1))
    outer = table.filter(polars.col("alpha") == -1)
    parabola = {
        key: np.polynomial.Polynomial.fit(part["alpha"], part["mse"], 2)
        for (key,), part in inner.group_by("key")
    }
    excess = [parabola[row["key"]](-1) / row["mse"] for row in outer.to_dicts()]
    assert np.median(excess) > 1.02


def test_direct_decoding_has_a_curve_as_well(curved):
    run = curved(enhance={"alphas": [0.5, 1], "decoding": "direct"})
    pipeline.run(run.config)
    table = scores_of(run)
    for name in ("mse", "ssim"):
        at_one = [
            table.filter(polars.col("signal") == signal, polars.col("alpha") == 1)[name].to_numpy()
            for signal in ("curve", "enhanced")
        ]
        np.testing.assert_allclose(*at_one, atol=1e-6)  # float32


def test_two_dials_have_the_images_of_their_formula_and_a_curve_as_well(curved, photographs):
    run = curved(enhance={"alphas": [0.5, 1], "low_share": 0.25, "low_sigma": 1.5})
    pipeline.run(run.config)
    operator, _, _ = read_operator(run.workspace, "run", run.operator)
    for key, image in images_of(run, 0.5).items():
        came = to_tensor([np.asarray(Image.open(photographs["restored"] / f"{key}.png"))])
        r = transport_images(came, PixelCodec(2), operator).direction().numpy()
        low = ndimage.gaussian_filter(r, 1.5, mode="mirror", radius=5, axes=(2, 3))
        expected = (came.numpy() + 0.5 * (r - 0.75 * low)).clip(0, 1)[0] * 255
        # half a level of rounding, and float32
        assert np.abs(255 * image - np.moveaxis(expected, 0, -1)).max() < 0.5 + 1e-3
    table = scores_of(run).filter(polars.col("alpha").is_in([0.5, 1])).sort("key", "alpha")
    for name in ("mse", "ssim", "indrmse"):
        found = [table.filter(signal=signal)[name].to_numpy() for signal in ("curve", "enhanced")]
        np.testing.assert_allclose(*found, atol=1e-5)  # float32, and levels at their border


# Where there is none


def test_without_a_reference_the_curve_has_the_distance_to_the_input(curved, photographs):
    run = curved(photographs, enhance={"alphas": [0, 1.5]})
    rows = {(row["signal"], row["alpha"]): row for row in pipeline.run(run.config)}
    assert [a for signal, a in rows if signal == "curve"] == ALPHAS
    table = scores_of(run)
    assert table["status"].unique().to_list() == ["unscored"]
    for alpha in (0.0, 1.5):
        squares = []
        for key, image in images_of(run, alpha).items():
            came = np.asarray(Image.open(photographs["restored"] / f"{key}.png").convert("RGB"))
            squares.append(np.square(image * 255.0 - came).mean())
            for signal in ("curve", "enhanced"):
                (row,) = table.filter(key=key, signal=signal, alpha=alpha).to_dicts()
                assert row["indrmse"] == pytest.approx(np.sqrt(squares[-1]), abs=1e-5)
        for signal in ("curve", "enhanced"):
            expected = np.sqrt(np.mean(squares))
            assert rows[signal, alpha]["indrmse"] == pytest.approx(expected, abs=1e-5)
    assert {row["psnr"] for row in rows.values()} == {None}


@pytest.mark.parametrize(
    "sections",
    [{"evaluate": {"curve": None}}, {"enhance": {"alphas": [0], "interpolation": "latent"}}],
)
def test_no_curve_is_made_where_it_is_not_wanted_or_would_cost_a_decoding_a_point(curved, sections):
    run = curved(**sections)
    assert CURVE not in signals_to_score(run.config)
    assert {row["signal"] for row in pipeline.run(run.config)} == {"enhanced"}
    assert not run.workspace.store.local(f"metrics/run/{run.operator}/curve").exists()


def test_images_without_a_reference_have_no_distortion_on_the_curve(
    curved, corpora, photographs, tmp_path
):
    reference = shutil.copytree(corpora["reference"], tmp_path / "reference")
    for key in KEYS[:3]:  # a whole shard
        (reference / f"{key}.png").unlink()
    natural = {"path": str(photographs["natural"]), "name": "originals"}
    run = curved(corpora | {"reference": reference, "natural": natural})
    rows = [row for row in pipeline.run(run.config) if row["signal"] == "curve"]
    curve = scores_of(run).filter(polars.col("signal") == "curve")
    assert curve["indrmse"].null_count() == 0
    scored = curve.filter(polars.col("psnr").is_not_null())
    assert scored["status"].unique().to_list() == ["ok"]
    assert scored["key"].unique(maintain_order=True).to_list() == KEYS[3:]
    assert {row["images"] for row in rows} == {5}


class NanInDecoder(PixelCodec):
    """A network that overflows where an image is bright in the corner."""

    def decode(self, latents):
        images = super().decode(latents).clone()
        images[images[:, 0, 0, 0] > 0.99] = torch.nan
        return images


def test_nan_from_the_network_makes_no_point_on_the_curve(
    curved, corpora, tmp_path, pixels, softened, write_images, monkeypatch
):
    restored = shutil.copytree(corpora["restored"], tmp_path / "restored")
    bright = softened(pixels(3))
    bright[:2, :2] = 255
    write_images(restored, {"b/3.png": bright})
    for module in (tasks.fit.measure, tasks.enhance.enhance):
        monkeypatch.setattr(module, "load_codec", lambda *_: NanInDecoder(2))
    run = curved(
        corpora | {"restored": restored},
        fit={"pairing": "unpaired"},
        shards={"max_bad_fraction": 0.2},
    )
    rows = pipeline.run(run.config)
    table = scores_of(run)
    assert table.filter(polars.col("key") == "b/3")["status"].unique().to_list() == ["refused"]
    curve = table.filter(polars.col("signal") == "curve")
    assert set(curve["key"]) == {*KEYS} - {"b/3"}
    assert curve["mse"].is_nan().sum() == 0
    assert {row["images"] for row in rows} == {7}


# What a change redoes


@pytest.mark.parametrize("grid", [{"step": 0.25}, {"step": 0.5, "stop": 1}])
def test_another_grid_redoes_the_curve_alone(clipping, curved, tmp_path, grid):
    shutil.copytree(clipping[0].config.workspace, tmp_path / "workspace")
    run = curved(enhance=ONE_DIAL | {"alphas": ALPHAS}, evaluate={"curve": grid})
    assert made_again(run) == {CURVE}
    rows = [row for row in pipeline.run(run.config) if row["signal"] == "curve"]
    assert [row["alpha"] for row in rows] == list(run.config.evaluate.curve.alphas)
    before = {row["alpha"]: row for row in clipping[1] if row["signal"] == "curve"}
    for row in rows:
        if row["alpha"] in before:
            assert row["mse"] == pytest.approx(before[row["alpha"]]["mse"], rel=1e-9)
    assert made_again(run) == set()


def test_another_written_alpha_redoes_no_curve(clipping, curved, tmp_path):
    shutil.copytree(clipping[0].config.workspace, tmp_path / "workspace")
    run = curved(enhance=ONE_DIAL | {"alphas": [*ALPHAS, 0.25]})
    assert made_again(run) == {Signal("enhanced", 0.25)}


def test_two_dials_redo_images_and_curve_and_a_band_without_effect_nothing(
    clipping, curved, tmp_path
):
    shutil.copytree(clipping[0].config.workspace, tmp_path / "workspace")
    run = curved(enhance={"alphas": ALPHAS, "low_share": 0.5})
    assert made_again(run) == {CURVE, *(Signal("enhanced", alpha) for alpha in ALPHAS)}
    assert made_again(curved(enhance={"alphas": ALPHAS, "low_share": 1, "low_sigma": 5})) == set()


def test_another_decoding_redoes_the_curve(clipping, curved, tmp_path):
    shutil.copytree(clipping[0].config.workspace, tmp_path / "workspace")
    run = curved(enhance=ONE_DIAL | {"alphas": ALPHAS, "decoding": "direct"})
    assert CURVE in made_again(run)


# Networks on the curve


SEEN = {"lpips": "squeeze", "features": "squeezenet", "controls": False}


@pytest.fixture(scope="module")
def seen(tmp_path_factory, steps, larger, squeezenet_weights):
    """A run with networks on the curve, and its rows."""
    run = steps(
        tmp_path_factory.mktemp("seen"),
        larger,
        enhance=ONE_DIAL | {"alphas": [0, 1]},
        evaluate=SEEN | {"curve": {"step": 1, "networks": True}},
    )
    return run, pipeline.run(run.config)


def test_with_networks_every_point_has_perception_as_at_the_written_alpha(seen):
    run, rows = seen
    table = both_where_written(run)
    assert table.height == 4 * 2
    np.testing.assert_allclose(table["lpips"], table["lpips_measured"], rtol=1e-6)  # float32
    by_signal = {(row["signal"], row["alpha"]): row for row in rows}
    for alpha in (0.0, 1.0):
        curve, measured = by_signal["curve", alpha], by_signal["enhanced", alpha]
        for name in ("lpips", "frechet"):
            assert curve[name] == pytest.approx(measured[name], rel=1e-6)
    for alpha in (-1.0, 2.0):
        assert by_signal["curve", alpha]["frechet"] > by_signal["curve", 0.0]["frechet"]
        assert by_signal["curve", alpha]["lpips"] > by_signal["curve", 0.0]["lpips"]


def both_where_written(run):
    table = scores_of(run)
    measured = table.filter(polars.col("signal") == "enhanced")
    curve = table.filter(polars.col("signal") == "curve")
    return curve.join(measured, on=["key", "alpha"], suffix="_measured")


def test_features_of_the_curve_lie_beside_those_of_the_written_alphas(seen):
    run, _ = seen
    folder = run.workspace.store.local(f"features/run/{run.operator}")
    for alpha in (-1.0, 0.0, 1.0, 2.0):
        paths = sorted(folder.glob(f"curve/{Signal('enhanced', alpha).folder}/*"))
        assert [path.name for path in paths] == ["shard-000000.parquet", "shard-000001.parquet"]
        written = folder / Signal("enhanced", alpha).folder
        for path in paths if written.exists() else []:
            assert path.read_bytes() == (written / path.name).read_bytes()


def test_the_curve_has_no_distances_that_would_cost_minutes(seen):
    for row in seen[1]:
        expected = row["signal"] == "curve"
        assert row["frechet_extrapolated"] is None or not expected
        assert (row["kernel"] is None) == expected
        assert (row["precision"] is None) == expected


def test_without_networks_the_curve_has_no_perception(larger, squeezenet_weights, steps, tmp_path):
    run = steps(tmp_path, larger, evaluate=SEEN | {"curve": {"step": 1}})
    rows = [row for row in pipeline.run(run.config) if row["signal"] == "curve"]
    assert {(row["lpips"], row["frechet"], row["featured"]) for row in rows} == {(None, None, 0)}
    assert not any("curve" in entry.path for entry in run.workspace.store.list("features"))


@pytest.fixture
def seen_again(seen, larger, steps, tmp_path):
    """The run with networks on the curve, some options changed."""
    shutil.copytree(seen[0].config.workspace, tmp_path / "workspace")

    def make(curve, enhance=None, **evaluate):
        return steps(
            tmp_path / "workspace",
            larger,
            enhance=ONE_DIAL | {"alphas": [0, 1], **(enhance or {})},
            evaluate=SEEN | evaluate | {"curve": curve},
        )

    return make


def test_networks_matter_to_the_curve_only_where_they_see_it(seen_again):
    with_networks, without = {"step": 1, "networks": True}, {"step": 1}
    assert made_again(seen_again(with_networks)) == set()
    assert CURVE in made_again(seen_again(with_networks, features=None))
    assert made_again(seen_again(without)) == {CURVE}
    pipeline.run(seen_again(without).config)
    assert CURVE not in made_again(seen_again(without, features=None))


def test_a_curve_that_networks_no_longer_see_has_no_perception(seen_again):
    rows = pipeline.run(seen_again({"step": 1}, enhance={"decoding": "direct"}).config)
    assert {row["frechet"] for row in rows if row["signal"] == "curve"} == {None}


# Points


def test_points_are_those_of_the_curve_and_any_other_signal_is_its_own():
    assert points_of(CURVE, [0.0, 0.1]) == (Signal("curve", 0.0), Signal("curve", 0.1))
    assert points_of(CURVE, []) == ()
    assert points_of(Signal("input"), [0.0, 0.1]) == (Signal("input"),)
