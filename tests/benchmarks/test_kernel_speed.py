"""The fold as a convolution against the forms it replaces."""

import pytest
import torch
from torch.nn import functional

from dot_kernels import GaussianMoments, solve_transport, transport_latents

CHANNELS, SIZE = 4, 5


@pytest.fixture
def operator(rng):
    def moments():
        mixing = torch.randn(100, 100, dtype=torch.float64, generator=rng) / 10
        samples = torch.randn(1000, 100, dtype=torch.float64, generator=rng)
        return GaussianMoments.of(samples @ mixing)

    return solve_transport(moments(), moments())


@pytest.fixture
def latents(rng):
    return torch.randn(8, CHANNELS, 64, 64, generator=rng)


def literal(latents, operator):
    """Unfold, matrix, fold, divide, in float64."""
    patches = functional.unfold(latents.double(), SIZE)
    mapped = operator.matrix @ patches + operator.offset()[:, None]
    shape = latents.shape[2:]
    total = functional.fold(mapped, shape, SIZE)
    return total / functional.fold(torch.ones_like(mapped), shape, SIZE)


def patch_by_patch(latents, operator):
    """One matrix-vector product for each patch, in float32."""
    matrix, offset = operator.matrix.float(), operator.offset().float()
    patches = functional.unfold(latents, SIZE).mT  # (b, n, d)
    mapped = torch.stack([torch.stack([matrix @ p + offset for p in image]) for image in patches])
    shape = latents.shape[2:]
    total = functional.fold(mapped.mT, shape, SIZE)
    return total / functional.fold(torch.ones_like(mapped.mT), shape, SIZE)


def test_four_times_faster_than_the_literal_form(compared, operator, latents):
    torch.testing.assert_close(
        transport_latents(latents, operator).double(),
        literal(latents, operator),
        rtol=1e-4,
        atol=1e-4,  # float32 against float64, under gains of some tens
    )
    ratio = compared(
        lambda: transport_latents(latents, operator), lambda: literal(latents, operator), 15
    )
    assert ratio < 1 / 4


def test_twenty_times_faster_than_a_product_per_patch(compared, operator, latents):
    ratio = compared(
        lambda: transport_latents(latents, operator), lambda: patch_by_patch(latents, operator), 3
    )
    assert ratio < 1 / 20
