import math

import pytest
import torch
from scipy import ndimage

from dot_kernels import PixelCodec, Transported
from dot_kernels.degradations import blur
from dot_kernels.dials import WIDEST, LowBand, with_low_band

SIGMA = 1.5


@pytest.fixture(params=["residual", "direct"])
def transported(request, rng):
    """Images of middle grey, so that nothing is clipped."""
    start, plain, moved = (0.45 + 0.1 * torch.rand(2, 3, 20, 24, generator=rng) for _ in range(3))
    codec = PixelCodec(factor=2)
    latents = codec.encode(start)
    decoded = plain if request.param == "residual" else None
    return Transported(start, latents, latents, decoded, moved, codec)


def low_of(images):
    return torch.stack([blur(each, LowBand(share=0.0, sigma=SIGMA).low_pass()) for each in images])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.7])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.2])
def test_each_band_moves_by_its_own_dial(transported, share, alpha):
    found = with_low_band(transported, LowBand(share=share, sigma=SIGMA)).at(alpha)
    r = transported.direction()
    low = low_of(r)
    alpha_low = 1 - share * (1 - alpha)
    expected = transported.images + (1 - alpha_low) * low + (1 - alpha) * (r - low)
    torch.testing.assert_close(found, expected)


def test_dials_that_are_equal_are_the_one_dial(transported):
    both = with_low_band(transported, LowBand(share=1.0, sigma=SIGMA))
    torch.testing.assert_close(both.at(0.3), transported.at(0.3))


def test_at_alpha_1_the_images_are_the_restored_ones(transported):
    both = with_low_band(transported, LowBand(share=0.2, sigma=SIGMA))
    torch.testing.assert_close(both.at(1.0), transported.images)


def test_a_constant_change_is_all_in_the_low_band():
    band = LowBand(share=0.25, sigma=3.0)
    constant = torch.full((1, 3, 9, 7), 0.2)
    torch.testing.assert_close(band.of(constant), 0.25 * constant)


def test_images_smaller_than_the_low_pass_reaches_are_mirrored_as_often_as_needed(rng):
    direction = torch.rand(1, 3, 2, 1, generator=rng)
    found = LowBand(share=0.0, sigma=4.0).of(direction)
    assert found.shape == direction.shape
    assert found.abs().max() < direction.abs().max()


@pytest.mark.parametrize("sigma", [0.6, 2.0, 5.0])
@pytest.mark.parametrize("size", [(24, 31), (9, 5)])
def test_the_low_band_is_that_of_scipys_gaussian_filter(rng, sigma, size):
    direction = torch.randn(2, 3, *size, generator=rng, dtype=torch.float64)
    found = LowBand(share=0.25, sigma=sigma).of(direction)
    radius = math.ceil(3 * sigma)
    low = ndimage.gaussian_filter(
        direction.numpy(), sigma, mode="mirror", radius=radius, axes=(2, 3)
    )
    torch.testing.assert_close(found, direction - 0.75 * torch.from_numpy(low))


def test_without_a_share_coarse_structure_stays_as_it_was(transported):
    def moved(images):
        change = (images - transported.images).numpy()
        coarse = ndimage.gaussian_filter(change, 8 * SIGMA, mode="mirror", axes=(2, 3))
        return coarse.std() + abs(coarse.mean())

    both = with_low_band(transported, LowBand(share=0.0, sigma=SIGMA))
    # of frequencies that pass both filters, 1 - exp(-(1/8)^2 / 2) < 0.01 is left, and of higher
    # ones what the wider filter lets through
    assert moved(both.at(0.0)) < 0.1 * moved(transported.at(0.0))


@pytest.mark.parametrize("height", [1, 3, 20, 33])
@pytest.mark.parametrize("cut", [1, 4, 15])
def test_the_low_band_of_bands_is_that_of_the_whole_to_the_last_bit(rng, height, cut):
    direction, beside = torch.randn(2, 1, 3, height, 17, generator=rng)
    band = LowBand(share=0.5, sigma=1.5)
    bands = zip(direction.split(cut, dim=2), beside.split(cut, dim=2), strict=True)
    parts = zip(*band.low_in_bands(bands, height), strict=True)
    found = [torch.cat(each, dim=2) for each in parts]
    for ours, whole in zip(found, (band.low(direction), direction, beside), strict=True):
        assert torch.equal(ours, whole)


def test_the_widest_low_pass_can_be_had():
    assert LowBand(share=0.0, sigma=WIDEST).low_pass().size <= 255


def test_latent_interpolation_has_no_direction_to_split(transported):
    latent = Transported(
        transported.images, transported.latents, transported.latents, None, None, transported.codec
    )
    with pytest.raises(ValueError, match="interpolated as images, got latent"):
        with_low_band(latent, LowBand(share=0.5, sigma=SIGMA))


@pytest.mark.parametrize(("share", "sigma"), [(float("nan"), 1.0), (0.5, 0.0), (0.5, 99.0)])
def test_bands_without_a_meaning_are_refused(share, sigma):
    with pytest.raises(ValueError, match=r"must be"):
        LowBand(share=share, sigma=sigma)
