"""Numbers of the kernels, under the version that gave them.

If this fails and the change was meant: raise KERNEL_VERSION, so that no stored result of
the old kernels is taken for one of the new, and write the new numbers under it.
"""

import pytest
import torch

from dot_kernels import KERNEL_VERSION, PixelCodec, enhance, patch_moments, solve_transport
from dot_kernels.degradations import Downscale, Noise, degrade
from dot_kernels.restorers import bicubic

GOLDEN = {
    2: {
        "degraded": [0.496342, 0.0693654, 0.607836, 0.471252],
        "restored": [0.496655, 0.0768489, 0.654496, 0.512278],
        "scatter": [1.22482, 1.90699, 0.362362, -0.0491438],
        "matrix": [0.287052, 0.669952, -0.0223013, 0.0261381],
        "diagnostics": [1e-05, 6.17562, 0.0836841],
        "stochastic matrix": [0.168375, 0.230951, 0.442535, 0.460523],
        "noise covariance": [0.00329944, 0.00520927, -0.00697614, -0.00603221],
        "residual": [0.495064, 0.126929, 0.565503, 0.681636],
        "latent": [0.492199, 0.12115, 0.377801, 0.601575],
    },
}


def waves(height, width):
    """A colour image from a formula."""
    rows, columns = torch.arange(height).double()[:, None], torch.arange(width).double()
    planes = [(k * rows + columns**1.5).sin() * (rows - columns / k).cos() for k in (1, 2, 3)]
    return torch.stack(planes).float() * 0.3 + 0.5


def digest(numbers):
    """Mean size, spread and two single values."""
    flat = numbers.double().flatten()
    third = flat[len(flat) // 3], flat[2 * len(flat) // 3]
    return [x.item() for x in (flat.abs().mean(), flat.std(), *third)]


@pytest.fixture(scope="module")
def numbers():
    """A small image degraded, restored, measured and enhanced in every way."""
    natural, codec = waves(32, 36), PixelCodec(1)
    steps = [Downscale(factor=2), Noise(sigma=0.05)]
    seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
    degraded = degrade(natural, steps, seeds[0])
    restored = degrade(bicubic(degraded, steps), [Noise(sigma=0.05)], seeds[1])
    grey = restored[:1].expand(3, -1, -1)  # singular: two thirds of its directions are empty
    source, singular, target = (
        patch_moments(codec.encode(image[None]), 2) for image in (restored, grey, natural)
    )
    plain, stochastic = (
        solve_transport(source, target),
        solve_transport(singular, target, ridge=0.0),
    )
    told = plain.diagnostics
    residual = enhance(restored[None], codec, plain, [0.0, 0.5])
    latent = enhance(
        grey[None],
        codec,
        stochastic,
        [0.25],
        decoding="direct",
        interpolation="latent",
        fold="gaussian",
        generators=seeds[2:],
    )
    return {
        "degraded": digest(degraded),
        "restored": digest(restored),
        "scatter": digest(source.scatter),
        "matrix": digest(plain.matrix),
        "diagnostics": [told.ridge, told.source_condition, told.gelbrich_before],
        "stochastic matrix": digest(stochastic.matrix),
        "noise covariance": digest(stochastic.noise_covariance),
        "residual": digest(residual),
        "latent": digest(latent),
    }


def test_numbers_move_only_with_the_kernel_version(numbers):
    golden = GOLDEN[KERNEL_VERSION]
    assert numbers.keys() == golden.keys()
    for name, values in numbers.items():
        # six digits are written down; other machines round float32 elsewhere
        assert values == pytest.approx(golden[name], rel=1e-4, abs=1e-6), name
