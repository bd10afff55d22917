"""Restored images made from clean ones: seeded by key, of the clean image's size."""

import io
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from skimage.restoration import denoise_nl_means
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

import tasks.restore.restore
from dot_kernels.degradations import Downscale, GaussianBlur, Jpeg, Noise, degrade
from dot_kernels.restorers import bicubic
from tasks.config import Run
from tasks.io.draws import generator_of
from tasks.io.errors import ConfigurationError, CorpusError, WeightsMissing
from tasks.io.images import Limits
from tasks.io.images.pixels import to_tensor
from tasks.io.networks.loaded_restorers import ImageByImage
from tasks.io.networks.restorers import (
    GaussianSmoother,
    NonLocalMeans,
    SpandrelCheckpoint,
    load_restorer,
)
from tasks.restore.degraded import degraded_from
from tasks.restore.plan import plan_restoration
from tests.support.pictures import encode, images_of

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
NOISE = [{"kind": "noise", "sigma": 0.1}]
BICUBIC = {"kind": "bicubic"}


@pytest.fixture
def restored(tmp_path, steps, photographs):
    """Makes restored images of the photographs."""

    def make(name="workspace", corpora=None, degrade=NOISE, restore=BICUBIC, **sections):
        corpora = corpora or {"reference": photographs["natural"]}
        run = steps(tmp_path / name, corpora, degrade=degrade, restore=restore, **sections)
        run.outcomes = run.shard()
        return run

    return make


def degrade_and_restore(clean, degradations, restorer, key):
    """One restored image, of the size of the clean one."""
    degraded = degraded_from(clean, degradations, key)
    restorer.require_fitting(degradations)
    made = restorer.restore(degraded[None], degradations, [key], lambda _: None)[0]
    return made[:, : clean.shape[1], : clean.shape[2]]


def test_the_same_key_is_restored_alike_whatever_the_shard(restored):
    first = images_of(restored("w3"))
    assert len(first) == 8
    for images in (1, 8):
        other = images_of(restored(f"w{images}", shards={"images": images}))
        assert list(other) == list(first)
        for key, image in first.items():
            np.testing.assert_array_equal(other[key], image)


def test_different_keys_get_different_noise(tmp_path, restored, write_images):
    grey = np.full((16, 16, 3), 128, np.uint8)
    folder = write_images(tmp_path / "grey", {"a.png": grey, "b.png": grey})
    images = images_of(restored(corpora={"reference": folder}))
    assert not np.array_equal(images["a"], images["b"])
    noise = images["a"].astype(float) / 255 - 128 / 255
    assert noise.std() == pytest.approx(0.1, rel=0.1)  # 768 samples: 2.6 % standard error


def test_shards_and_keys_are_those_of_the_clean_images(restored):
    run = restored()
    assert list(run.workspace.keys("run")) == list(run.workspace.keys("reference"))


def test_sizes_that_no_factor_divides_are_kept(restored):
    run = restored(degrade=[{"kind": "downscale", "factor": 4}])
    clean, found = images_of(run, "reference"), images_of(run)
    assert {image.shape for image in found.values()} == {(24, 32, 3), (21, 17, 3)}
    assert all(found[key].shape == image.shape for key, image in clean.items())


def test_borders_that_a_blur_left_out_are_restored_too(restored):
    run = restored(degrade=[{"kind": "gaussian-blur", "size": 8, "sigma": 1.0, "stride": 2}])
    clean, found = images_of(run, "reference"), images_of(run)
    assert all(found[key].shape == image.shape for key, image in clean.items())


def test_a_downscaled_image_comes_back_by_bicubic_interpolation(pixels):
    clean = to_tensor([pixels(0)])[0]
    found = degrade_and_restore(clean, (Downscale(factor=2),), ImageByImage(bicubic), "any key")
    small = functional.interpolate(clean[None], (12, 16), mode="bicubic", antialias=True)
    large = functional.interpolate(small, (24, 32), mode="bicubic", antialias=True)[0]
    torch.testing.assert_close(found, large.clamp(0, 1))


# torchvision's JPEG coder is to move into a package of its own
@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
def test_degradations_are_applied_in_their_order(pixels):
    clean = to_tensor([pixels(0)])[0]
    chain = (Noise(sigma=0.1), Downscale(factor=2), Jpeg(quality=40))
    found = degrade_and_restore(clean, chain, ImageByImage(bicubic), "k")
    generator = generator_of("degrade", 0, "k")
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    small = functional.interpolate(noisy[None], (12, 16), mode="bicubic", antialias=True)[0]
    out = io.BytesIO()
    levels = (small.clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()
    Image.fromarray(levels).save(out, "JPEG", quality=40)
    coded = to_tensor([np.asarray(Image.open(out))])[0]
    large = functional.interpolate(coded[None], (24, 32), mode="bicubic", antialias=True)[0]
    # two JPEG libraries may round a coefficient differently: a few levels here and there
    assert float((found - large.clamp(0, 1)).abs().mean()) < 1 / 255


def test_non_local_means_is_scikit_images_with_the_noise_level_of_the_degradation(pixels):
    clean = to_tensor([pixels(0)])[0]
    noise = (Noise(sigma=0.03), Noise(sigma=0.04))
    restorer = load_restorer(NonLocalMeans(kind="non-local-means"), "cpu")
    found = degrade_and_restore(clean, noise, restorer, "k")
    degraded = degrade(clean, noise, generator_of("degrade", 0, "k"))
    expected = denoise_nl_means(
        degraded.movedim(0, -1).numpy(),
        patch_size=5,
        patch_distance=6,
        h=0.8 * 0.05,
        sigma=0.05,
        channel_axis=-1,
    )
    torch.testing.assert_close(found, torch.from_numpy(expected).movedim(-1, 0).clamp(0, 1))
    assert float((found - clean).square().mean()) < float((degraded - clean).square().mean())


def test_natural_images_of_their_own_are_restored_too_for_the_fit(restored, photographs, tmp_path):
    corpora = {"reference": photographs["natural"], "natural": photographs["restored"]}
    run = restored(corpora=corpora)
    assert list(run.outcomes) == ["reference", "natural", "run.source", "run"]
    assert [key for key, _ in run.workspace.keys("run.source")] == [
        key for key, _ in run.workspace.keys("natural")
    ]
    run.fit()
    assert run.select().pairing == "paired"


def test_ten_natural_and_ten_other_degraded_images_are_the_protocol_of_the_paper(
    restored, photographs, tmp_path, write_images, pixels
):
    """Two disjoint sets of natural images; nothing that is evaluated is fitted on."""
    natural = write_images(tmp_path / "natural", {f"n{i:02d}.png": pixels(i) for i in range(30)})
    run = restored(
        corpora={"reference": photographs["natural"], "natural": natural},
        fit={"images": 10, "pairing": "unpaired"},
    )
    sources = {key for key, _ in run.workspace.keys("run.source")}
    assert len(sources) == 10
    run.fit()
    selection = run.select()
    assert selection.pairing == "unpaired"
    assert {key for keys in selection.source.values() for key in keys} == sources
    targets = {key for keys in selection.target.values() for key in keys}
    assert len(targets) == 10
    assert not sources & targets
    assert sources | targets <= {key for key, _ in run.workspace.keys("natural")}


def test_a_clean_image_damaged_behind_its_header_is_a_row(restored, tmp_path, pixels, write_images):
    files = {"a.png": pixels(0), "b.jpg": encode(pixels(1), "jpeg")[:-200], "c.png": pixels(2)}
    folder = write_images(tmp_path / "clean", files)
    run = restored(corpora={"reference": folder}, shards={"images": 3, "max_bad_fraction": 0.5})
    assert run.outcomes["run"].refused == {"damaged": 1}
    assert list(images_of(run)) == ["a", "c"]


def test_a_restorer_that_gives_nan_is_a_row_with_the_remedy(restored, monkeypatch):
    def broken(degraded, degradations):
        return degraded * (torch.nan if degraded.shape[1] == 21 else 1)

    monkeypatch.setattr(tasks.restore.restore, "load_restorer", lambda *_: ImageByImage(broken))
    run = restored(shards={"images": 3, "max_bad_fraction": 0.5})
    assert run.outcomes["run"].refused == {"restorer's output is not finite": 3}
    index = run.workspace.store.local("datasets/run/index.parquet")
    reasons = {row["reason"] for row in pq.read_table(index).to_pylist()}
    assert reasons == {None, "restorer's output is not finite: check its checkpoint"}
    assert len(images_of(run)) == 5


def test_an_image_too_long_for_webp_is_written_as_png(restored, tmp_path, write_images):
    images = {"a.png": np.zeros((8, 16_384, 3), np.uint8), "b.png": np.zeros((8, 8, 3), np.uint8)}
    folder = write_images(tmp_path / "long", images)
    run = restored(corpora={"reference": folder}, shards={"images": 3})
    assert run.outcomes["run"].refused == {}
    index = pq.read_table(run.workspace.store.local("datasets/run/index.parquet"))
    assert index["key"].to_pylist() == ["a", "b"]
    assert [len(image) for image in images_of(run).values()] == [8, 8]


def test_a_second_run_restores_nothing_and_another_sigma_everything(restored):
    run = restored()
    planned = plan_restoration(run.opened, "reference", "run")
    assert [unit.job for unit in planned] == [None, None, None]
    for noise in (Noise(sigma=0.2), Noise(sigma=0.1, seed=1)):
        other = run.config.model_copy(update={"degrade": (noise,)})
        planned = plan_restoration(Run(other, run.workspace), "reference", "run")
        assert all(unit.job is not None for unit in planned)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": "bilinear"},
        {"kernel": "area"},
        {"rounding": True},
    ],
)
def test_another_way_of_downscaling_restores_everything_again(restored, change):
    run = restored(degrade=[{"kind": "downscale", "factor": 2}])
    other = run.config.model_copy(update={"degrade": (Downscale(factor=2, **change),)})
    planned = plan_restoration(Run(other, run.workspace), "reference", "run")
    assert all(unit.job is not None for unit in planned)


def test_another_smoother_restores_everything_again(restored):
    smoother = {"kind": "gaussian-blur", "size": 5, "sigma": 1.0}
    run = restored(restore=smoother)
    for change in ({"size": 7}, {"sigma": 2.0}, {}):
        other = GaussianSmoother(**(smoother | change))
        other_run = Run(run.config.model_copy(update={"restore": other}), run.workspace)
        planned = plan_restoration(other_run, "reference", "run")
        assert [unit.job is not None for unit in planned] == [bool(change)] * 3


def test_the_seed_of_noise_gives_every_image_other_noise(pixels):
    clean = to_tensor([pixels(0)])[0]
    first, default, other = (
        degrade_and_restore(clean, (noise,), ImageByImage(lambda degraded, _: degraded), "k")
        for noise in (Noise(sigma=0.1), Noise(sigma=0.1, seed=0), Noise(sigma=0.1, seed=5))
    )
    assert torch.equal(first, default)
    assert float((other - clean).std()) == pytest.approx(0.1, rel=0.1)  # 2,304 numbers: 1.5 %
    together = torch.stack([other - clean, first - clean]).flatten(1)
    assert abs(float(torch.corrcoef(together)[0, 1])) < 5 / 2304**0.5  # five standard errors


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_blurred_image_comes_back_in_its_size_and_in_its_place(pixels, stride):
    """Off by half a pixel, the smooth image would change by the tenfold."""
    rows, columns = torch.meshgrid(torch.arange(50.0), torch.arange(61.0), indexing="ij")
    planes = [(rows / a).sin() * (columns / 9).cos() for a in (8, 10, 12)]
    clean = 0.5 + 0.3 * torch.stack(planes)
    steps = (GaussianBlur(size=5, sigma=0.6, stride=stride),)
    found = degrade_and_restore(clean, steps, ImageByImage(bicubic), "k")
    assert found.shape == clean.shape
    errors = (found - clean)[:, 8:-8, 8:-8]
    shifted = (clean - clean.roll(1, dims=2))[:, 8:-8, 8:-8]
    assert float(errors.square().mean()) < float(shifted.square().mean()) / 100


def test_an_image_smaller_than_its_blur_is_restored_all_the_same(restored, tmp_path, write_images):
    folder = write_images(tmp_path / "small", {"a.png": np.full((8, 9, 3), 90, np.uint8)})
    blur = {"kind": "gaussian-blur", "size": 31, "sigma": 4.0, "stride": 16}
    run = restored(corpora={"reference": folder}, degrade=[blur])
    np.testing.assert_array_equal(images_of(run)["a"], np.full((8, 9, 3), 90, np.uint8))


def test_the_smoother_is_a_gaussian_blur_of_the_degraded_image(pixels):
    clean, noise = to_tensor([pixels(0)])[0], (Noise(sigma=0.1),)
    spec = GaussianSmoother(kind="gaussian-blur", size=5, sigma=1.0)
    found = degrade_and_restore(clean, noise, load_restorer(spec, "cpu"), "k")
    degraded = degrade(clean, noise, generator_of("degrade", 0, "k"))
    expected = gaussian_blur(degraded, [5, 5], [1.0, 1.0]).clamp(0, 1)
    torch.testing.assert_close(found, expected)


def test_a_missing_checkpoint_is_told_with_the_field_that_names_it(restored, tmp_path):
    spec = {"kind": "spandrel", "checkpoint": str(tmp_path / "absent.pth")}
    with pytest.raises(WeightsMissing, match=r"absent.pth must hold weights.*restore.checkpoint"):
        restored(restore=spec)


def test_a_file_that_is_no_checkpoint_is_told(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "any.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    spec = SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))
    with pytest.raises(WeightsMissing, match="must be a checkpoint that spandrel recognises"):
        load_restorer(spec, "cpu")


@pytest.fixture
def convolutions(tmp_path):
    """Writes a small network that spandrel takes for DnCNN; FFDNet and FDnCNN have such tensors."""

    def write(channels_in, channels_out, scale=0.05):
        from safetensors.torch import save_file

        rng, widths = torch.Generator().manual_seed(1), [channels_in, *[4] * 7, channels_out]
        tensors = {}
        for number, (wide, next_wide) in enumerate(pairwise(widths)):
            weight = scale * torch.randn(next_wide, wide, 3, 3, generator=rng)
            tensors[f"model.{2 * number}.weight"] = weight
            tensors[f"model.{2 * number}.bias"] = scale * torch.randn(next_wide, generator=rng)
        path = tmp_path / f"{channels_in}-{channels_out}.safetensors"
        save_file(tensors, path)
        return SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))

    return write


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        ((13, 12), "12 channels in and 12 out"),  # FFDNet for colour
        ((5, 4), "4 channels in and 4 out"),  # FFDNet for grey
        ((6, 6), "6 channels in and 6 out"),
        ((4, 1), "3 channels in and 1 out"),
        ((1, 3), "channels in and 3 out"),
    ],
)
def test_a_network_that_is_none_from_image_to_image_is_told_with_what_was_found(
    convolutions, channels, found
):
    with pytest.raises(WeightsMissing, match=rf"RGB image to another.*takes for DnCNN.*{found}"):
        load_restorer(convolutions(*channels), "cpu")


def test_a_network_for_grey_images_restores_plane_by_plane(pixels, convolutions):
    clean, noise = to_tensor([pixels(0, 15, 20)])[0], (Noise(sigma=0.1),)
    restorer = load_restorer(convolutions(1, 1), "cpu")
    found = degrade_and_restore(clean, noise, restorer, "k")
    assert found.shape == clean.shape
    degraded = degrade(clean, noise, generator_of("degrade", 0, "k"))
    planes = [
        restorer.restore(plane.expand(1, 3, -1, -1), noise, ["k"], lambda _: None)[0, 0]
        for plane in degraded
    ]
    torch.testing.assert_close(found, torch.stack(planes))
    assert not torch.equal(found, degraded.clamp(0, 1))


def test_a_network_whose_output_has_another_size_than_it_says_is_told(convolutions, monkeypatch):
    from spandrel import ImageModelDescriptor

    monkeypatch.setattr(ImageModelDescriptor, "__call__", lambda _, image: image[:, :, 2:])
    with pytest.raises(WeightsMissing, match=r"DnCNN, which fails: .* 48×48 .*\(1, 3, 46, 48\)"):
        load_restorer(convolutions(3, 3), "cpu")


@pytest.fixture
def levels(tmp_path):
    """A network that spandrel takes for FDnCNN: it adds the noise level that it is told."""
    from safetensors.torch import save_file

    tensors = {}
    for number in range(8):
        weight = torch.zeros(3 if number == 7 else 4, 4, 3, 3)
        for channel in range(len(weight)):
            weight[channel, channel, 1, 1] = 1
        if number == 7:
            weight[:, 3, 1, 1] = 1
        tensors |= {f"model.{2 * number}.weight": weight}
        tensors |= {f"model.{2 * number}.bias": torch.zeros(len(weight))}
    save_file(tensors, tmp_path / "levels.safetensors")
    return SpandrelCheckpoint(kind="spandrel", checkpoint=str(tmp_path / "levels.safetensors"))


@pytest.mark.parametrize("sigma", [0.02, 15 / 255, 0.2])
def test_a_network_that_asks_for_the_noise_level_is_told_that_of_the_degradations(levels, sigma):
    restorer, noise = load_restorer(levels, "cpu"), (Noise(sigma=sigma),)
    image = torch.full((1, 3, 10, 12), 0.3)
    restorer.require_fitting(noise)
    found = restorer.restore(image, noise, ["k"], lambda _: None)
    torch.testing.assert_close(found, image + sigma)


def test_a_network_that_asks_for_the_noise_level_must_be_told_one(levels):
    restorer = load_restorer(levels, "cpu")
    for degradations in ((), (Jpeg(quality=9),)):
        with pytest.raises(ConfigurationError, match=r"told the noise level .* got none; add"):
            restorer.require_fitting(degradations)


def test_a_checkpoint_with_another_digest_is_told_with_both(tmp_path):
    path = tmp_path / "any.pth"
    path.write_bytes(b"weights")
    spec = SpandrelCheckpoint(kind="spandrel", checkpoint=str(path), sha256="0" * 64)
    with pytest.raises(WeightsMissing, match=r"must have the sha256 0{64}, got [0-9a-f]{64}; "):
        load_restorer(spec, "cpu")


@pytest.fixture
def denoiser(test_data):
    path = test_data / "weights" / "restorers" / "cdncnn_color_sigma50.safetensors"
    return SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))


def test_a_checkpoint_removes_the_noise_it_was_trained_on(pixels, denoiser):
    clean = to_tensor([pixels(0, 31, 45)])[0]
    noise = (Noise(sigma=50 / 255),)
    degraded = degrade(clean, noise, generator_of("degrade", 0, "k"))
    found = degrade_and_restore(clean, noise, load_restorer(denoiser, "cpu"), "k")
    assert found.shape == clean.shape
    gain = (degraded - clean).square().mean() / (found - clean).square().mean()
    assert float(gain) > 2  # 3 dB; measured 5 dB on this texture of 31 × 45 pixels


def test_a_checkpoint_for_another_factor_is_told(pixels, denoiser):
    clean = to_tensor([pixels(0)])[0]
    with pytest.raises(ConfigurationError, match=r"must enlarge by 2, .* got a network for 1"):
        degrade_and_restore(clean, (Downscale(factor=2),), load_restorer(denoiser, "cpu"), "k")


def test_non_local_means_takes_its_options(pixels):
    noise = (Noise(sigma=0.1),)
    clean = to_tensor([pixels(0)])[0]
    weak, strong = (
        degrade_and_restore(
            clean,
            noise,
            load_restorer(NonLocalMeans(kind="non-local-means", strength=strength), "cpu"),
            "k",
        )
        for strength in (0.1, 2.0)
    )
    assert float(strong.diff(dim=2).abs().mean()) < float(weak.diff(dim=2).abs().mean())


@pytest.fixture
def nine(tmp_path, pixels, write_images):
    """Eight clean images, and a ninth in a shard of its own that is none."""
    files = {f"{number}.png": pixels(number) for number in range(8)}
    return write_images(tmp_path / "nine", files | {"8.jpg": b"a text file named .jpg"})


@pytest.mark.parametrize("natural", [False, True])
def test_a_last_shard_of_refused_images_only_does_not_stop_the_run(
    restored, photographs, nine, natural
):
    corpora = {"reference": photographs["natural"], "natural": nine} if natural else {}
    corpora = corpora or {"reference": nine}
    run = restored(corpora=corpora, shards={"images": 8, "max_bad_fraction": 0.2})
    made = "run.source" if natural else "run"
    assert list(images_of(run, made)) == [str(number) for number in range(8)]
    run.fit()
    run.enhance()
    assert {row["images"] for row in run.report()} == {8}
    assert all(unit is None for unit in run.shard().values())


def test_natural_images_that_were_all_refused_are_told_with_where_the_reasons_are(
    restored, photographs, tmp_path, write_images
):
    refused = write_images(tmp_path / "refused", {"a.jpg": b"text", "b.jpg": b""})
    corpora = {"reference": photographs["natural"], "natural": refused}
    with pytest.raises(CorpusError, match=r"run.source must hold at least one image, .*`reason`"):
        restored(corpora=corpora, shards={"images": 3, "max_bad_fraction": 1})


def test_a_restorer_that_fails_on_every_image_leaves_nothing_to_fit_and_that_is_told(
    restored, monkeypatch
):
    monkeypatch.setattr(
        tasks.restore.restore, "load_restorer", lambda *_: ImageByImage(lambda image, _: image / 0)
    )
    run = restored(shards={"images": 3, "max_bad_fraction": 1})
    assert images_of(run) == {}
    with pytest.raises(CorpusError):
        run.fit()


def test_runs_that_share_a_name_restore_once_and_keep_what_they_made(restored, photographs):
    corpora = {"reference": photographs["natural"], "natural": photographs["restored"]}
    shared = {"corpora": corpora, "restore": BICUBIC | {"name": "shared"}}
    first = restored(name="one", fit={"images": 4}, **shared)
    first.fit()
    second = restored(name="one", fit={"images": 6}, patches={"size": 2}, **shared)
    assert second.outcomes["shared"] is None  # was there
    assert "shared.source-6-0-paired" in second.outcomes
    second.fit()
    assert first.operator != second.operator
    again = restored(name="one", fit={"images": 4}, **shared)
    assert set(again.outcomes.values()) == {None}
    assert again.fit() == []
