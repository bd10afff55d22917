"""Enhanced tars and their metrics: the kernels' numbers, whatever the cut into batches."""

import math
import shutil
import tarfile

import duckdb
import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from skimage import metrics

import tasks.enhance.enhance
import tasks.enhance.scoring
import tasks.fit.measure
import tasks.io.images
from dot_kernels import GaussianMoments, PixelCodec, patch_moments, transport_images
from dot_kernels.dials import LOW_KEPT, with_low_band
from dot_kernels.enhancement import at_each
from tasks.enhance.rendering import Renderer
from tasks.enhance.signals import fetch_metric_weights, networks_in_use
from tasks.fit.operators import read_operator
from tasks.io.artifacts.moments import load_moments
from tasks.io.draws import generator_of
from tasks.io.errors import WeightsMissing
from tasks.io.images import Limits
from tasks.io.images import encode as encode_raster
from tasks.io.images.pixels import to_tensor
from tasks.io.networks.features import perceptual
from tasks.io.shards import member_name
from tasks.io.workspace import Signal
from tasks.jobs.progress import reporting_to
from tests.support.pictures import decode, encode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
ALPHAS = (0.0, 0.5, 1.0)
CONTROLS = ("input", "codec", "codec_input")


def tar_members(run, alpha, dataset="run"):
    """Files of an enhanced data set by shard, in their order."""
    folder = run.workspace.store.local(f"enhanced/{dataset}/{run.operator}/alpha={alpha:+.2f}")
    members = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            members[path.stem] = [
                (info.name, archive.extractfile(info).read()) for info in archive.getmembers()
            ]
    return members


def images_of(run, alpha):
    """Pixels of an enhanced data set by member name."""
    shards = tar_members(run, alpha).values()
    return {name: decode(data, LIMITS) for files in shards for name, data in files}


def metrics_folder(run):
    return run.workspace.store.local(f"metrics/run/{run.operator}")


def rows_of(run, **wanted):
    rows = pq.read_table(metrics_folder(run)).to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def facts_of(run, folder):
    """What the records below a folder say."""
    survey = run.workspace.ledger.survey(folder)
    records = (record for artifact in survey.artifacts() for record in survey.records(artifact))
    return [run.workspace.ledger.facts(record) for record in records]


def latent_moments(run):
    """The moments of latent patches of the first shard, by the signal's folder."""
    folder = run.workspace.store.local(f"features/run/{run.operator}")
    return {
        path.parent.name: load_moments(path)[0]["latent_patches"]
        for path in sorted(folder.rglob("shard-000000.safetensors"))
    }


def pixels_of(folder, key):
    return np.asarray(Image.open(next(folder.glob(f"{key}.*"))).convert("RGB"))


@pytest.fixture
def enhanced(tmp_path, steps, photographs):
    """Runs the photographs up to their enhanced shards."""

    def run(name="workspace", corpora=None, **sections):
        corpora = corpora or {
            "restored": photographs["restored"],
            "reference": photographs["natural"],
        }
        whole = steps(tmp_path / name, corpora, **sections)
        whole.shard()
        whole.fit()
        whole.outcomes = whole.enhance()
        return whole

    return run


@pytest.mark.parametrize("alpha", ALPHAS)
def test_enhanced_tars_have_the_shards_and_keys_of_the_input_in_order(finished, alpha):
    enhanced = tar_members(finished, alpha)
    index = finished.workspace
    assert list(enhanced) == list(index.shards("run"))
    for shard, files in enhanced.items():
        keys = [member.key for member in index.members("run", shard)]
        assert [name for name, _ in files] == [member_name(key, "webp") for key in keys]


def of_the_kernels(image, operator, alpha, low_band=LOW_KEPT, **options):
    """An enhanced image (3, h, w), without the pipeline."""
    moved = transport_images(image, PixelCodec(2), operator, **options)
    (made,) = at_each(with_low_band(moved, low_band), [alpha])
    return made[0]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_enhanced_images_are_the_kernels_rounded_to_eight_bits(finished, photographs, alpha):
    operator, _, _ = read_operator(finished.workspace, "run", finished.operator)
    for name, found in images_of(finished, alpha).items():
        image = to_tensor([pixels_of(photographs["restored"], name.removesuffix(".webp"))])
        expected = of_the_kernels(image, operator, alpha)
        rounded = (expected * 255).round().byte().movedim(0, -1).numpy()
        np.testing.assert_array_equal(found, rounded)


def test_at_alpha_one_the_pixels_are_those_of_the_input(finished, photographs):
    found = images_of(finished, 1.0)
    assert len(found) == 8
    for name, image in found.items():
        expected = pixels_of(photographs["restored"], name.removesuffix(".webp"))
        np.testing.assert_array_equal(image, expected)


def test_rows_are_the_metrics_of_scikit_image_on_the_written_files(finished, photographs):
    written = images_of(finished, 0.5)
    rows = rows_of(finished, signal="enhanced", alpha=0.5)
    assert len(rows) == 8
    for row in rows:
        image = written[f"{row['key']}.webp"] / 255.0
        truth = pixels_of(photographs["natural"], row["key"]) / 255.0
        expected = metrics.mean_squared_error(truth, image)
        assert row["mse"] == pytest.approx(expected, rel=1e-12)
        expected = metrics.peak_signal_noise_ratio(truth, image, data_range=1)
        assert row["psnr"] == pytest.approx(expected, rel=1e-12)
        expected = metrics.structural_similarity(
            truth,
            image,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        assert row["ssim"] == pytest.approx(expected, rel=1e-9)
        assert row["lpips"] is None


def test_every_image_has_a_row_for_every_alpha_and_control(finished):
    rows = rows_of(finished)
    assert len(rows) == 8 * (len(ALPHAS) + len(CONTROLS))
    assert {(row["signal"], row["alpha"]) for row in rows} == {
        *(("enhanced", alpha) for alpha in ALPHAS),
        *((control, None) for control in CONTROLS),
    }
    assert {row["status"] for row in rows} == {"ok"}


def test_the_controls_are_the_input_and_the_codec_alone(finished, photographs):
    for row in rows_of(finished, signal="input"):
        images = [pixels_of(photographs[role], row["key"]) / 255 for role in photographs]
        expected = metrics.mean_squared_error(*images)
        assert row["mse"] == pytest.approx(expected, rel=1e-5)  # float32 images
        (same,) = rows_of(finished, signal="codec_input", key=row["key"])
        # the pixel codec gives back what it takes, in another order in memory
        assert same["mse"] == pytest.approx(row["mse"])
    assert {row["psnr"] for row in rows_of(finished, signal="codec")} == {math.inf}


def test_controls_are_left_out_when_not_wanted(enhanced):
    run = enhanced(evaluate={"controls": False})
    assert {row["signal"] for row in rows_of(run)} == {"enhanced"}


def test_features_are_the_moments_of_latent_patches_on_the_way(finished, photographs):
    def patches(role, transform=lambda image: image):
        total = GaussianMoments.zero(12)
        for path in photographs[role].rglob("*.png"):
            image = transform(to_tensor([np.asarray(Image.open(path))]))
            even = image[:, :, : image.shape[2] // 2 * 2, : image.shape[3] // 2 * 2]
            total = total + patch_moments(PixelCodec(2).encode(even), 1)
        return total

    def found(signal):
        folder = finished.workspace.store.local(f"features/run/{finished.operator}/{signal}")
        parts = [load_moments(path)[0]["latent_patches"] for path in sorted(folder.iterdir())]
        return sum(parts[1:], parts[0])

    for signal, role in (("input", "restored"), ("alpha+1.00", "restored"), ("codec", "natural")):
        moments, expected = found(signal), patches(role)
        assert moments.count == expected.count
        torch.testing.assert_close(moments.scatter, expected.scatter)
    operator, _, _ = read_operator(finished.workspace, "run", finished.operator)
    source = patches("restored")
    mapped = operator.matrix @ source.scatter @ operator.matrix.mT
    # float32 latents: a relative rounding of 1e-7, on values near 0.5, over 1,800 patches
    torch.testing.assert_close(found("alpha+0.00").scatter, mapped, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("decoding", "interpolation", "fold"),
    [("direct", "image", "uniform"), ("residual", "latent", "gaussian")],
)
def test_options_reach_the_kernels(enhanced, photographs, decoding, interpolation, fold):
    run = enhanced(
        enhance={"alphas": [0.25], "decoding": decoding, "interpolation": interpolation},
        patches={"size": 3, "fold": fold},
    )
    operator, _, _ = read_operator(run.workspace, "run", run.operator)
    for name, found in images_of(run, 0.25).items():
        expected = of_the_kernels(
            to_tensor([pixels_of(photographs["restored"], name.removesuffix(".webp"))]),
            operator,
            0.25,
            LOW_KEPT if interpolation == "image" else None,
            decoding=decoding,
            interpolation=interpolation,
            fold=fold,
        )
        difference = found - (expected * 255).movedim(0, -1).numpy()
        # half a level of rounding, and float32 in another order of summation
        assert np.abs(difference).max() < 0.5 + 1e-3


def test_pixels_do_not_depend_on_batch_or_shard_size(enhanced, finished):
    first = images_of(finished, 0.0)
    for images, batch in ((8, 3), (1, 8)):
        name = f"w{images}-{batch}"
        other = images_of(enhanced(name, shards={"images": images}, compute={"batch": batch}), 0.0)
        assert list(other) == list(first)
        for key, image in first.items():
            np.testing.assert_array_equal(other[key], image)


def test_images_count_as_done_batch_by_batch(enhanced, monkeypatch):
    told, render = list[object](), Renderer._render_batch

    def rendered(renderer, pairs):
        told.append("batch")
        return render(renderer, pairs)

    monkeypatch.setattr(Renderer, "_render_batch", rendered)
    with reporting_to(told.append):
        enhanced(compute={"batch": 2})
    start = told.index("batch")
    assert told[start : start + 4] == ["batch", 1, 1, "batch"]


def test_images_larger_than_a_tile_are_encoded_and_enhanced_as_in_one_piece(enhanced, tmp_path):
    random = np.random.default_rng(5)
    corpora = {"restored": tmp_path / "restored", "reference": tmp_path / "natural"}
    for folder in corpora.values():
        folder.mkdir()
        for name, size in (
            ("small.png", (40, 30)),
            ("large.png", (259, 271)),
            ("flat.png", (9000, 9)),
        ):
            Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    seen = list[int]()

    def looked(codec, images):
        seen.append(images[0, 0].numel())
        return encode(codec, images)

    encode = PixelCodec.encode
    found = {}
    for tile in (256, 512):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PixelCodec, "encode", looked)
            run = enhanced(f"tile-{tile}", corpora, compute={"tile": tile})
        found[tile] = tar_members(run, 0.0), rows_of(run), max(seen)
        seen.clear()
    assert found[256][:2] == found[512][:2]
    assert found[256][2] <= 256**2 < found[512][2]


@pytest.mark.parametrize(("file_format", "extension"), [("png", "png"), ("jpeg", "jpg")])
def test_tars_hold_the_wanted_format(enhanced, finished, file_format, extension):
    run = enhanced(enhance={"alphas": [0], "format": file_format})
    found, lossless = images_of(run, 0.0), images_of(finished, 0.0)
    assert [name.rpartition(".")[0] for name in found] == [
        name.rpartition(".")[0] for name in lossless
    ]
    for name, image in found.items():
        assert name.endswith(f".{extension}")
        expected = lossless[name.replace(extension, "webp")]
        mean = np.abs(image.astype(int) - expected).mean()
        assert mean == 0 if file_format == "png" else mean < 5  # quality 95 of noisy images


def test_metrics_do_not_depend_on_the_format_of_the_files(enhanced, finished):
    run = enhanced(enhance={"alphas": [0], "format": "jpeg"})
    lossy, lossless = (
        [row["mse"] for row in rows_of(which, signal="enhanced", alpha=0.0)]
        for which in (run, finished)
    )
    assert lossy == lossless


def test_adding_an_alpha_makes_only_what_is_new(enhanced, steps, tmp_path, photographs):
    run = enhanced()
    before = tar_members(run, 0.0)
    more = steps(
        tmp_path / "workspace",
        {"restored": photographs["restored"], "reference": photographs["natural"]},
        enhance={"alphas": [0, 0.25, 0.5, 1]},
    )
    jobs = more.enhancement_jobs()
    assert len(jobs) == 3
    for job in jobs:
        assert [output.signal for output in job.enhanced] == [Signal("enhanced", 0.25)]
        assert [output.signal for output in job.tables] == [Signal("enhanced", 0.25)]
    more.enhance()
    assert tar_members(more, 0.0) == before
    assert more.enhancement_jobs() == []
    assert run.enhancement_jobs() == []


@pytest.mark.parametrize(
    "change",
    [
        {"enhance": {"alphas": [0, 0.5, 1], "format": "png"}},
        {"enhance": {"alphas": [0, 0.5, 1], "decoding": "direct"}},
        {"patches": {"fold": "gaussian"}},
    ],
)
def test_a_changed_option_redoes_what_depends_on_it(enhanced, steps, tmp_path, photographs, change):
    enhanced()
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    (job, *_) = steps(tmp_path / "workspace", corpora, **change).enhancement_jobs()
    assert [output.signal.alpha for output in job.enhanced] == [0.0, 0.5, 1.0]
    measured = [output.signal.alpha for output in job.tables]
    of_controls = [None] * 3 if "format" in change.get("enhance", {}) else []
    assert measured == [0.0, 0.5, 1.0, *of_controls]
    assert all(output.target.replaces for output in job.enhanced)


def test_options_that_change_no_number_redo_nothing(enhanced, steps, tmp_path, photographs):
    enhanced()
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    changes = ({"compute": {"batch": 2}}, {"enhance": {"alphas": [1, 0], "seed": 5}})
    for change in changes:
        assert steps(tmp_path / "workspace", corpora, **change).enhancement_jobs() == []


def test_two_runs_write_the_same_bytes(enhanced, finished):
    run = enhanced()
    for alpha in ALPHAS:
        assert tar_members(run, alpha) == tar_members(finished, alpha)


def test_a_shard_that_fails_half_way_leaves_no_artifact(enhanced, steps, monkeypatch, tmp_path):
    calls = []

    def failing(raster, form):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("disk full")
        return encode_raster(raster, form)

    monkeypatch.setattr(tasks.enhance.scoring, "encode", failing)
    with pytest.raises(OSError, match="disk full"):
        enhanced()
    assert not (tmp_path / "workspace" / "enhanced").exists()
    assert not (tmp_path / "workspace" / "metrics").exists()


def test_the_metrics_folder_is_one_table_for_pyarrow_polars_and_duckdb(finished):
    folder = metrics_folder(finished)
    table = pq.read_table(folder)
    assert table.num_rows == 48
    frame = polars.read_parquet(folder)
    assert frame.shape == (48, len(table.schema))
    assert frame.filter(polars.col("alpha") == 0.5).height == 8
    pattern = f"{folder}/**/*.parquet"
    query = "select alpha, count(*), avg(psnr) from read_parquet(?) where alpha < 1 group by alpha"
    found = {
        alpha: (count, mean) for alpha, count, mean in duckdb.execute(query, [pattern]).fetchall()
    }
    assert {alpha: count for alpha, (count, _) in found.items()} == {0.0: 8, 0.5: 8}
    psnr = frame.filter(polars.col("alpha") == 0.0)["psnr"].mean()
    assert found[0.0][1] == pytest.approx(psnr)


def test_every_column_of_the_metrics_says_its_unit_and_meaning(finished):
    path = next(metrics_folder(finished).rglob("*.parquet"))
    schema = pq.read_schema(path)
    for field in schema:
        assert field.metadata[b"meaning"]
        assert b"unit" in field.metadata
    assert schema.field("psnr").metadata[b"unit"] == b"dB"
    assert schema.metadata[b"lpips"] == b"none"


def test_without_a_reference_rows_are_unscored_and_images_are_made(enhanced, photographs):
    run = enhanced(corpora=photographs)
    rows = rows_of(run)
    assert {(row["status"], row["reason"]) for row in rows} == {("unscored", "no reference corpus")}
    assert all(row["psnr"] is None for row in rows)
    assert len(images_of(run, 0.0)) == 8


def test_rows_have_the_distance_of_the_written_files_to_the_restored_ones(finished, photographs):
    for signal, alpha in (("enhanced", 0.5), ("enhanced", 1.0)):
        written = images_of(finished, alpha)
        for row in rows_of(finished, signal=signal, alpha=alpha):
            came = pixels_of(photographs["restored"], row["key"]).astype(float)
            moved = np.square(written[f"{row['key']}.webp"] - came).mean()
            assert row["indrmse"] == pytest.approx(math.sqrt(moved), rel=1e-12)
    assert {row["indrmse"] for row in rows_of(finished, signal="input")} == {0}
    assert {row["indrmse"] for row in rows_of(finished, signal="codec")} == {None}


@pytest.fixture
def partly_matched(tmp_path, photographs, pixels, write_images):
    """The photographs, with a reference that is missing, of another size, or damaged."""
    folder = tmp_path / "reference"
    for path in photographs["natural"].rglob("*.png"):
        target = folder / path.relative_to(photographs["natural"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (folder / "a/0.png").unlink()
    (folder / "a/4.png").unlink()
    write_images(folder, {"b/1.png": pixels(1, 24, 30)})
    write_images(folder, {"a/4.jpg": encode(pixels(4), "jpeg")[:-300]})
    return {"restored": photographs["restored"], "reference": folder}


def test_a_reference_that_cannot_be_used_is_a_reason_and_harms_no_other_row(
    enhanced, finished, partly_matched, photographs
):
    corpora = partly_matched | {
        "natural": {"path": str(photographs["natural"]), "name": "originals"}
    }
    run = enhanced(corpora=corpora)
    rows = {row["key"]: row for row in rows_of(run, signal="enhanced", alpha=0.0)}
    reasons = {key: row["reason"] for key, row in rows.items() if row["status"] == "unscored"}
    assert set(reasons) == {"a/0", "b/1", "a/4"}
    assert reasons["a/0"].startswith("no reference: ")
    assert reasons["b/1"] == "reference of another size: 30×24 against 32×24"
    assert reasons["a/4"].startswith("reference refused: damaged")
    assert len(images_of(run, 0.0)) == 8
    for expected in rows_of(finished, signal="enhanced", alpha=0.0):
        if expected["key"] not in reasons:
            assert rows[expected["key"]]["mse"] == pytest.approx(expected["mse"])


@pytest.fixture
def partly_damaged(tmp_path, photographs, pixels, softened):
    """The photographs, one restored image of which is damaged behind its header."""
    folder = tmp_path / "restored"
    for path in photographs["restored"].rglob("*.png"):
        target = folder / path.relative_to(photographs["restored"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (folder / "a/2.png").unlink()
    (folder / "a/2.jpg").write_bytes(encode(softened(pixels(2)), "jpeg")[:-300])
    return {"restored": folder, "reference": photographs["natural"]}


def test_a_damaged_image_is_a_refused_row_and_its_neighbours_are_unharmed(
    enhanced, partly_damaged, photographs
):
    run = enhanced(corpora=partly_damaged)
    rows = rows_of(run, key="a/2")
    assert len(rows) == len(ALPHAS) + len(CONTROLS)
    for row in rows:
        assert row["status"] == "refused"
        assert row["reason"].startswith("damaged")
    assert [outcome.refused for outcome in run.outcomes] == [{"damaged": 1}, {}, {}]
    assert sum(outcome.images for outcome in run.outcomes) == 8
    found = images_of(run, 1.0)
    assert len(found) == 7
    assert "a/2.webp" not in found
    for name, image in found.items():
        expected = pixels_of(photographs["restored"], name.removesuffix(".webp"))
        np.testing.assert_array_equal(image, expected)


class NanInDecoder(PixelCodec):
    """A network that overflows where an image is bright in the corner."""

    def decode(self, latents):
        images = super().decode(latents).clone()
        images[images[:, 0, 0, 0] > 0.99] = torch.nan
        return images


class NanInEncoder(PixelCodec):
    """A network that overflows where an image is bright in the corner."""

    def encode(self, images):
        latents = super().encode(images).clone()
        latents[images[:, 0, 0, 0] > 0.99] = torch.nan
        return latents


@pytest.fixture
def with_a_bright_corner(tmp_path, photographs, write_images):
    """The photographs, one of which makes the networks above overflow."""
    restored = {
        str(path.relative_to(photographs["restored"])): np.array(Image.open(path))
        for path in photographs["restored"].rglob("*.png")
    }
    restored["b/3.png"][:2, :2] = 255
    return {
        "restored": write_images(tmp_path / "bright", restored),
        "reference": photographs["natural"],
    }


@pytest.mark.parametrize("broken", [NanInDecoder, NanInEncoder])
def test_nan_from_the_network_refuses_that_image_only(
    enhanced, with_a_bright_corner, monkeypatch, broken
):
    for module in (tasks.fit.measure, tasks.enhance.enhance):
        monkeypatch.setattr(module, "load_codec", lambda *_: broken(2))
    run = enhanced(corpora=with_a_bright_corner, fit={"pairing": "unpaired"})
    refused = rows_of(run, status="refused")
    assert {row["key"] for row in refused} == {"b/3"}
    assert refused[0]["reason"].startswith("network output is not finite")
    assert len(images_of(run, 1.0)) == 7


@pytest.mark.parametrize("broken", [NanInDecoder, NanInEncoder])
def test_what_overflows_in_half_precision_is_rendered_again_in_float32(
    enhanced, with_a_bright_corner, monkeypatch, broken
):
    expected = enhanced("exact", with_a_bright_corner, fit={"pairing": "unpaired"})

    def load(spec, device, precision, folder):
        return PixelCodec(2) if precision == "float32" else broken(2)

    for module in (tasks.fit.measure, tasks.enhance.enhance):
        monkeypatch.setattr(module, "load_codec", load)
    run = enhanced(
        corpora=with_a_bright_corner,
        fit={"pairing": "unpaired"},
        compute={"precision": "bfloat16"},
    )
    assert rows_of(run, status="refused") == []
    assert [outcome.remarks for outcome in run.outcomes if outcome.remarks] == [
        {"again_in_float32": 1}
    ]
    again = [fact for fact in facts_of(run, "enhanced") if "again_in_float32" in fact]
    assert len(again) == len(ALPHAS)
    for signal, moments in latent_moments(run).items():
        assert moments.count == latent_moments(expected)[signal].count
    assert images_of(run, 0.0).keys() == images_of(expected, 0.0).keys()


def test_nan_from_the_network_is_refused_even_where_no_image_shows_it(
    enhanced, with_a_bright_corner, monkeypatch
):
    for module in (tasks.fit.measure, tasks.enhance.enhance):
        monkeypatch.setattr(module, "load_codec", lambda *_: NanInEncoder(2))
    alone = {"evaluate": {"controls": False}, "enhance": {"alphas": [1]}}
    run = enhanced(corpora=with_a_bright_corner, fit={"pairing": "unpaired"}, **alone)
    assert len(images_of(run, 1.0)) == 7


def test_a_stochastic_operator_draws_noise_by_key_not_by_place(
    enhanced, photographs, pixels, tmp_path, write_images
):
    blocks = {f"{i}.png": pixels(i, 12, 16).repeat(2, axis=0).repeat(2, axis=1) for i in range(5)}
    corpora = {
        "restored": write_images(tmp_path / "blocks", blocks),
        "natural": photographs["natural"],
    }
    options = {"corpora": corpora, "fit": {"ridge": 0, "shrink": 0}}
    first = images_of(enhanced("w3", **options), 0.0)
    run = enhanced("w1", shards={"images": 1}, compute={"batch": 1}, **options)
    second = images_of(run, 0.0)
    for name, image in first.items():
        np.testing.assert_array_equal(second[name], image)
    operator, _, _ = read_operator(run.workspace, "run", run.operator)
    draws = [generator_of("transport", 0, "2")]
    expected = of_the_kernels(to_tensor([blocks["2.png"]]), operator, 0.0, generators=draws)
    np.testing.assert_array_equal(
        first["2.webp"], (expected * 255).round().byte().movedim(0, -1).numpy()
    )
    other = images_of(enhanced("seeded", enhance={"alphas": [0], "seed": 1}, **options), 0.0)
    assert not np.array_equal(other["2.webp"], first["2.webp"])


def test_images_of_eight_pixels_are_enhanced_without_ssim(
    enhanced, photographs, pixels, softened, tmp_path, write_images
):
    sizes = {f"{i}": [(8, 8), (9, 31), (8, 40)][i % 3] for i in range(9)}
    small = {f"{name}.png": pixels(int(name), *size) for name, size in sizes.items()}
    corpora = {
        "restored": write_images(
            tmp_path / "small", {name: softened(image) for name, image in small.items()}
        ),
        "reference": write_images(tmp_path / "truth", small),
        "natural": photographs["natural"],
    }
    run = enhanced(corpora=corpora, patches={"size": 3})
    rows = rows_of(run, signal="enhanced", alpha=0.0)
    assert {row["ssim"] for row in rows} == {None}
    assert all(row["psnr"] > 0 for row in rows)
    found = {name: image.shape[:2] for name, image in images_of(run, 0.0).items()}
    assert found == {f"{name}.webp": size for name, size in sizes.items()}


def test_an_image_too_long_for_the_format_is_a_refused_row(
    enhanced, photographs, tmp_path, pixels, write_images
):
    images = {"a.png": np.zeros((8, 16_384, 3), np.uint8), "b.png": pixels(1)}
    corpora = {
        "restored": write_images(tmp_path / "long", images),
        "natural": photographs["natural"],
    }
    run = enhanced(corpora=corpora, enhance={"alphas": [0]}, evaluate={"controls": False})
    (row,) = rows_of(run, status="refused")
    assert (row["key"], row["reason"].partition(":")[0]) == ("a", "too long for webp")
    assert list(images_of(run, 0.0)) == ["b.webp"]


def test_a_workspace_in_memory_holds_the_same_as_one_on_disk(steps, photographs, finished):
    import fsspec

    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps("memory://enhance/workspace", corpora)
    run.run()
    on_disk = finished.workspace.store
    paths = [entry.path for entry in run.workspace.store.list("enhanced")]
    assert paths == [entry.path for entry in on_disk.list("enhanced")]
    for path in paths:
        assert run.workspace.store.read(path) == on_disk.read(path)
    data = run.workspace.store.read(f"reports/run/{run.operator}/report.html")
    assert data.startswith(b"<!doctype html>")
    fsspec.filesystem("memory").store.clear()


def test_references_that_only_moved_to_another_shard_redo_no_metrics(
    enhanced, photographs, tmp_path, pixels, write_images
):
    reference = shutil.copytree(photographs["natural"], tmp_path / "reference")
    run = enhanced(corpora={**photographs, "reference": reference})
    write_images(reference, {"0-in-front.png": pixels(99)})
    run.shard()
    run.match()
    assert run.enhancement_jobs() == []
    write_images(reference, {"b/7.png": pixels(98, 21, 17)})  # in the last shard alone
    run.shard()
    run.match()
    assert [job.shard for job in run.enhancement_jobs()] == ["shard-000002"]


def test_tables_with_lpips_are_kept_when_its_weights_go_missing(
    enhanced, tmp_path, monkeypatch, pixels, softened, write_images
):
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), weights)
    perceptual._load_lpips.cache_clear()
    images = {"a.png": pixels(0, 32, 40)}
    corpora = {
        "restored": write_images(tmp_path / "x", {"a.png": softened(images["a.png"])}),
        "reference": write_images(tmp_path / "y", images),
    }
    run = enhanced(
        corpora=corpora, evaluate={"lpips": "squeeze", "features": None, "controls": False}
    )
    perceptual._load_lpips.cache_clear()
    assert "lpips" in networks_in_use(run.fitted)

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    weights.unlink()
    with pytest.raises(WeightsMissing, match="cannot be fetched; put it at"):
        fetch_metric_weights(run.fitted)


def test_tables_without_lpips_are_known_as_such(finished):
    assert networks_in_use(finished.fitted) == {}


def test_the_network_runs_in_inference_mode_and_without_tf32(enhanced, monkeypatch):
    seen, decode = [], PixelCodec.decode

    def watched(codec, latents):
        seen.append((torch.is_inference_mode_enabled(), torch.backends.cudnn.allow_tf32))
        return decode(codec, latents)

    monkeypatch.setattr(PixelCodec, "decode", watched)
    enhanced()
    assert set(seen) == {(True, False)}


@pytest.fixture
def cramped(monkeypatch, memory_limits):
    """Memory for so many images of so many pixels at a time; it ends when everything but the
    moments is done.
    """
    measure = Renderer._measure

    def limit(most, pixels=32 * 24):
        def measured(renderer, made, size, pairs):
            if len(pairs) > most or size[0] * size[1] > pixels:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return measure(renderer, made, size, pairs)

        memory_limits.forget()
        monkeypatch.setattr(Renderer, "_measure", measured)

    return limit


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_counted_twice(
    enhanced, finished, cramped
):
    cramped(1)
    run = enhanced()
    assert {outcome.remarks["batch_reduced_to"] for outcome in run.outcomes} == {1}
    assert all(outcome.refused == {} for outcome in run.outcomes)
    assert {fact["batch_reduced_to"] for fact in facts_of(run, "enhanced")} == {1}
    for alpha in ALPHAS:
        assert tar_members(run, alpha) == tar_members(finished, alpha)
    expected = latent_moments(finished)
    assert expected.keys() == latent_moments(run).keys()
    for signal, moments in latent_moments(run).items():
        assert moments.count == expected[signal].count
        torch.testing.assert_close(moments.scatter, expected[signal].scatter)


def test_images_that_do_not_fit_alone_are_refused_rows(enhanced, cramped):
    cramped(1, 17 * 21)
    sections = {"enhance": {"alphas": [0]}, "evaluate": {"controls": False}}
    run = enhanced(shards={"images": 8}, **sections)
    rows = rows_of(run, status="refused")
    assert [row["reason"] for row in rows] == ["out of memory on the device: 32×24"] * 5
    assert len(rows_of(run)) == 8
    assert len(images_of(run, 0.0)) == 3


def test_a_device_without_room_fails_the_shard_for_now(enhanced, cramped):
    cramped(0)
    with pytest.raises(OSError, match="must have room to enhance an image of 768 pixels"):
        enhanced(enhance={"alphas": [0]}, evaluate={"controls": False})


def test_records_say_nothing_of_batches_that_fit(finished):
    for fact in facts_of(finished, "enhanced"):
        assert fact.keys().isdisjoint({"batch_reduced_to", "again_in_float32"})
