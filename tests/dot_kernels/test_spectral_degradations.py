"""Decompositions of linear degradations, and the chains that have one."""

import math

import pytest
import torch
from torch.testing import assert_close

from dot_kernels.degradations import Downscale, GaussianBlur, Jpeg, Noise, degrade
from dot_kernels.linear_degradations import measurement_noise, spectral_degradation
from dot_kernels.spectral_degradations import BlockMean, Identity, Separable

CHAINS = {
    "identity": [],
    "block mean": [Downscale(factor=4, kernel="area")],
    "bicubic": [Downscale(factor=4)],
    "bilinear": [Downscale(factor=3, kernel="bilinear")],
    "blur": [GaussianBlur(size=9, sigma=1.6)],
    "wide blur": [GaussianBlur(size=31, sigma=9.0)],
    "stride": [GaussianBlur(size=13, sigma=1.6, stride=4)],
    "borders left out": [GaussianBlur(size=4, sigma=1.0, stride=4)],
    "two": [GaussianBlur(size=5, sigma=0.8), Downscale(factor=2, kernel="area")],
}
EACH = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)


@EACH
@pytest.mark.parametrize("size", [(12, 24), (24, 12)])
def test_a_degradation_is_exactly_the_one_that_makes_images(rng, chain, size):
    image = torch.rand(3, *size, generator=rng)
    found = spectral_degradation(chain, *size).degrade(image[None])[0]
    assert_close(found, degrade(image, chain, rng))


@EACH
def test_the_adjoint_has_the_same_inner_products(rng, chain):
    degradation = spectral_degradation(chain, 12, 24)
    images = torch.rand(2, 3, 12, 24, generator=rng, dtype=torch.float64)
    degraded = degradation.degrade(images)
    others = torch.rand(degraded.shape, generator=rng, dtype=torch.float64)
    assert_close((degradation.adjoint(others) * images).sum(), (others * degraded).sum())


@EACH
def test_a_spectrum_is_an_orthogonal_transform(rng, chain):
    degradation = spectral_degradation(chain, 12, 24)
    images = torch.rand(2, 3, 12, 24, generator=rng, dtype=torch.float64)
    spectra = degradation.to_spectrum(images)
    assert_close(degradation.from_spectrum(spectra), images)
    assert_close(spectra.norm(), images.norm())
    assert_close(degradation.to_spectrum(degradation.from_spectrum(images)), images)


@EACH
def test_what_is_measured_of_a_spectrum_is_its_singular_values_times_it(rng, chain):
    degradation = spectral_degradation(chain, 12, 24)
    images = torch.rand(2, 3, 12, 24, generator=rng, dtype=torch.float64)
    found = degradation.measured(degradation.degrade(images))
    expected = degradation.values * degradation.to_spectrum(images)
    dropped = 1e-4 * degradation.values.max() * images.norm()  # values so small count as 0
    assert float((found - expected).abs().max()) <= max(float(dropped), 1e-12)
    if len(chain) != 1 or chain[0].kind != "gaussian-blur":
        assert_close(found, expected)


@EACH
def test_singular_values_are_those_of_the_whole_matrix(chain):
    height, width = 6, 12
    if any(12 % getattr(step, "factor", 1) or 6 % getattr(step, "factor", 1) for step in chain):
        height, width = 12, 12
    if any(getattr(step, "stride", 1) == 4 for step in chain):
        height, width = 8, 12
    degradation = spectral_degradation(chain, height, width)
    units = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    matrix = degradation.degrade(units).flatten(1).mT
    expected = torch.linalg.svdvals(matrix)
    found = degradation.values.flatten().sort(descending=True).values
    expected = torch.where(expected < 1e-4 * expected[0], 0, expected)
    assert_close(found[: len(expected)], expected)
    assert not found[len(expected) :].any()


@EACH
def test_noise_on_a_degraded_image_is_as_strong_where_it_is_measured(rng, chain):
    degradation = spectral_degradation(chain, 12, 24)
    shape = degradation.degrade(torch.zeros(1, 1, 12, 24)).shape[2:]
    noise = torch.randn(3, 1, *shape, generator=rng, dtype=torch.float64)
    assert_close(degradation.measured(noise).norm(), noise.norm())


@pytest.mark.parametrize("size", [(8, 12), (16, 4)])
def test_a_block_mean_is_also_a_pair_of_matrices(rng, size):
    block = BlockMean(4, *size)
    rows, columns = (torch.eye(n, dtype=torch.float64).reshape(-1, 4, n).mean(1) for n in size)
    pair = Separable(rows, columns)
    images = torch.rand(2, 3, *size, generator=rng)
    assert_close(pair.degrade(images), block.degrade(images))
    unseen = [
        each.from_spectrum(each.to_spectrum(images) * (each.values == 0)) for each in (block, pair)
    ]
    assert_close(*unseen)


def test_of_common_chains_the_quick_decompositions_are_taken():
    assert isinstance(spectral_degradation([Noise(sigma=0.1)], 8, 8), Identity)
    area = [Downscale(factor=4, kernel="area"), Noise(sigma=0.1)]
    assert isinstance(spectral_degradation(area, 8, 8), BlockMean)


def test_sides_that_are_no_multiples_are_refused():
    with pytest.raises(ValueError, match="sides must be multiples of 4, got 8×10"):
        BlockMean(4, 8, 10)


def test_noise_and_rounding_add_in_squares():
    chain = [Downscale(factor=2, rounding=True), Noise(sigma=0.03), Noise(sigma=0.04, seed=1)]
    assert measurement_noise(chain[1:]) == pytest.approx(0.05)
    assert measurement_noise(chain[:1]) == pytest.approx(1 / 255 / math.sqrt(12))
    assert measurement_noise(chain) == pytest.approx(math.hypot(0.05, 1 / 255 / math.sqrt(12)))
    assert measurement_noise([]) == 0


def test_noise_of_no_strength_may_come_first():
    assert measurement_noise([Noise(sigma=0.0), Downscale(factor=2)]) == 0


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ([Jpeg(quality=50)], "must be linear, got jpeg"),
        ([Noise(sigma=0.1), Downscale(factor=2)], "downscale must come before all noise"),
        (
            [Downscale(factor=2, rounding=True), GaussianBlur(size=3, sigma=1.0)],
            "gaussian-blur must come before all noise and rounding",
        ),
    ],
)
def test_chains_without_a_decomposition_are_refused(chain, said):
    with pytest.raises(ValueError, match=said):
        spectral_degradation(chain, 8, 8)
