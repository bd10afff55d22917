"""Networks of spandrel as restorers: tried out when loaded, batches, noise levels, sizes, tiles."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from dot_kernels import SeamError
from dot_kernels.degradations import Downscale, GaussianBlur, Noise
from tasks.io.errors import ConfigurationError, ImageRefused, WeightsMissing
from tasks.io.networks.restorers import SpandrelCheckpoint, load_restorer
from tasks.io.networks.spandrel_networks import loading

NOISE = (Noise(sigma=0.2),)

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),  # spandrel's CRAFT
    pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning"),  # the extra's
]


def unheard(_):
    pytest.fail("tiles that are exact, or none, have no error at seams")


def restored(restorer, images, degradations=NOISE, hear=unheard):
    keys = [str(number) for number in range(len(images))]
    return restorer.restore(images, degradations, keys, hear)


@pytest.fixture
def denoiser(tmp_path):
    """Writes a small network with the tensors of DnCNN: convolutions with biases."""

    def write(scale=0.05, change=None, channels=(3, 3)):
        rng, widths = torch.Generator().manual_seed(1), [channels[0], *[4] * 7, channels[1]]
        tensors = {}
        for number, (wide, next_wide) in enumerate(pairwise(widths)):
            weight = scale * torch.randn(next_wide, wide, 3, 3, generator=rng)
            tensors[f"model.{2 * number}.weight"] = weight
            tensors[f"model.{2 * number}.bias"] = scale * torch.randn(next_wide, generator=rng)
        if change is not None:
            tensors = change(tensors)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        save_file(tensors, path)
        return SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))

    return write


def biased(by):
    def change(tensors):
        last = max(tensors, key=lambda name: int(name.split(".")[1]) if "bias" in name else -1)
        return tensors | {last: torch.full_like(tensors[last], by)}

    return change


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (torch.nan, "whose output is finite, got what spandrel takes for DnCNN, whose output is n"),
        (300.0, r"restores images of values in \[0, 1\], got .* nothing like them"),  # all black
        (-300.0, "nothing like them"),
    ],
)
def test_a_network_for_other_values_is_told_before_any_image_is_touched(denoiser, by, said):
    with pytest.raises(WeightsMissing, match=said):
        load_restorer(denoiser(change=biased(by)), "cpu")


def test_a_network_that_gives_noise_for_smooth_waves_is_told(denoiser):
    with pytest.raises(WeightsMissing, match="nothing like them: use a checkpoint of an arch"):
        load_restorer(denoiser(scale=3.0), "cpu")


def test_a_network_that_fails_is_told_with_the_first_line_of_why(denoiser, monkeypatch):
    from spandrel import ImageModelDescriptor

    def fails(*_):
        raise RuntimeError("shape '[1, 7]' is invalid\nand a long story")

    monkeypatch.setattr(ImageModelDescriptor, "__call__", fails)
    with pytest.raises(WeightsMissing, match=r"which fails: shape '\[1, 7\]' is invalid$"):
        load_restorer(denoiser(), "cpu")


def test_a_network_is_tried_out_once(denoiser, monkeypatch):
    tried = []
    monkeypatch.setattr(loading, "_tried_out", lambda one: tried.append(one) or one)
    spec = denoiser()
    first, second = load_restorer(spec, "cpu"), load_restorer(spec, "cpu", tile=256)
    assert len(tried) == 1
    assert (first.tile, second.tile) == (512, 256)


def test_a_batch_gives_each_image_what_it_gives_alone(denoiser, rng):
    restorer, images = load_restorer(denoiser(), "cpu"), torch.rand(3, 3, 20, 24, generator=rng)
    together = restored(restorer, images)
    for image, made in zip(images, together, strict=True):
        torch.testing.assert_close(restored(restorer, image[None])[0], made)
    assert not torch.equal(together, images)


def test_tiles_of_a_chain_of_convolutions_are_exact(denoiser, rng):
    spec, images = denoiser(), torch.rand(2, 3, 70, 90, generator=rng)
    whole, tiled = load_restorer(spec, "cpu"), load_restorer(spec, "cpu", tile=32)
    torch.testing.assert_close(restored(tiled, images), restored(whole, images))


@pytest.mark.parametrize("fails_with", ["channels last", "several"])
def test_a_network_is_given_images_in_the_first_way_that_works(
    denoiser, rng, monkeypatch, fails_with
):
    from spandrel import ImageModelDescriptor

    call = ImageModelDescriptor.__call__

    def choosy(descriptor, images):
        if fails_with == "several":
            return call(descriptor, images) * 0.8 + 0.2 * images.mean()  # of the whole batch
        return call(descriptor, images.view(len(images), -1).view(images.shape))

    monkeypatch.setattr(ImageModelDescriptor, "__call__", choosy)
    restorer, images = load_restorer(denoiser(), "cpu"), torch.rand(3, 3, 20, 24, generator=rng)
    assert restorer.memory_format == torch.contiguous_format
    assert restorer.takes_several == (fails_with == "channels last")
    for image, made in zip(images, restored(restorer, images), strict=True):
        torch.testing.assert_close(restored(restorer, image[None])[0], made)


def test_without_a_word_on_degradations_a_network_takes_its_own_scale(denoiser):
    restorer = load_restorer(denoiser(), "cpu")
    restorer.require_fitting(())
    assert restorer.scale == 1
    with pytest.raises(ConfigurationError, match=r"must enlarge by 2, .* got a network for 1"):
        restorer.require_fitting((Downscale(factor=2),))
    with pytest.raises(ConfigurationError, match="must have an odd size, got an even one"):
        restorer.require_fitting((GaussianBlur(size=4, sigma=1.0),))


def test_bfloat16_is_taken_where_spandrel_knows_that_the_network_can(denoiser, rng, monkeypatch):
    spec, images = denoiser(), torch.rand(1, 3, 20, 24, generator=rng)
    exact, rounded = (load_restorer(spec, "cpu", precision=p) for p in ("float32", "bfloat16"))
    assert rounded.descriptor.dtype == torch.bfloat16
    made = restored(rounded, images)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, restored(exact, images), rtol=0, atol=0.02)
    assert not torch.equal(made, restored(exact, images))


# With real weights


@pytest.fixture
def published(test_data):
    def find(name):
        path = test_data / "weights" / "restorers" / name
        return SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))

    return find


def test_cdncnn_has_the_bits_of_the_whole_in_tiles(published, rng):
    spec, images = published("cdncnn_color_sigma50.safetensors"), torch.rand(1, 3, 150, 170)
    whole, tiled = load_restorer(spec, "cpu"), load_restorer(spec, "cpu", tile=100)
    assert torch.equal(restored(tiled, images), restored(whole, images))


def test_craft_is_blended_and_its_error_at_seams_is_heard(published):
    spec, heard = published("craft_x4.pth"), []
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(70.0), indexing="ij")
    image = torch.stack([0.5 + 0.3 * (rows / a).sin() * (columns / 6).cos() for a in (4, 5, 7)])
    steps = (Downscale(factor=4),)
    whole, tiled = load_restorer(spec, "cpu"), load_restorer(spec, "cpu", tile=48)
    made = restored(tiled, image[None], steps, heard.append)
    expected = restored(whole, image[None], steps)
    assert made.shape == (1, 3, 240, 280)
    seams = sum(heard, SeamError())
    assert 0 < seams.rms < 3
    assert float((made - expected).square().mean().sqrt()) * 255 < 3
    assert float((made - expected).abs().max()) > 0


def test_an_image_smaller_than_half_of_the_window_is_refused_with_both_sizes(published):
    restorer = load_restorer(published("craft_x4.pth"), "cpu")
    multiple = restorer.descriptor.size_requirements.multiple_of
    assert multiple > 4
    image = torch.rand(1, 3, 40, multiple // 2)
    with pytest.raises(ImageRefused, match=rf"too small for the restorer: 40×{multiple // 2} "):
        restored(restorer, image, (Downscale(factor=4),))
    made = restored(restorer, torch.rand(1, 3, multiple // 2 + 1, 40), (Downscale(factor=4),))
    assert made.shape == (1, 3, 4 * (multiple // 2 + 1), 160)


def test_the_published_restorers_pass_their_trial(published):
    names = ["cdncnn_color_sigma50", "dncnn_color_blind", "realesrgan_x4plus"]
    for name in names:
        restorer = load_restorer(published(f"{name}.safetensors"), "cpu")
        assert restorer.scale == (4 if "x4" in name else 1)


# Architectures of an extra


def test_restormer_of_spandrel_extra_arches_restores_where_that_is_installed(tmp_path, rng):
    pytest.importorskip("spandrel_extra_arches")
    from spandrel_extra_arches.architectures.Restormer import Restormer

    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = Restormer(
            dim=8,
            num_blocks=[1, 1, 1, 1],
            num_refinement_blocks=1,
            heads=[1, 2, 2, 2],
            ffn_expansion_factor=2.66,
        )
    path = tmp_path / "restormer.safetensors"
    save_file(module.state_dict(), path)
    spec = SpandrelCheckpoint(kind="spandrel", checkpoint=str(path))
    heard, images = [], torch.rand(2, 3, 40, 52, generator=rng)
    restorer = load_restorer(spec, "cpu", tile=32)
    made = restored(restorer, images, NOISE, heard.append)
    assert made.shape == images.shape
    assert bool(made.isfinite().all())
    assert len(heard) == 2
