"""The fold as a convolution, and transport of patches, against the forms they replace."""

import math

import pytest
import torch
from torch.nn import functional

from dot_kernels import GaussianMoments, solve_transport, transport_latents
from dot_kernels.sinkhorn import patch_transport
from dot_kernels.transport import solve_map

CHANNELS, SIZE = 4, 5
PATCHES, REFERENCE, VALUES = 8000, 5000, 64
EPS, RHO, ALTERNATIONS = 0.02, 0.05, 10


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


@pytest.fixture(params=[400, 1728])
def two_sides(request, rng):
    """Moments of source and target, of as many dimensions as common patches have."""

    def moments():
        factor = torch.randn(request.param, 2 * request.param, dtype=torch.float64, generator=rng)
        mean = torch.randn(request.param, dtype=torch.float64, generator=rng)
        return GaussianMoments(10 * request.param, mean, factor @ factor.mT)

    return moments(), moments()


def literal_map(source, target):
    """Eq. 2 as it is written, which loses half of the digits."""
    values, vectors = torch.linalg.eigh(source.covariance())
    root = vectors * values.sqrt() @ vectors.mT
    inverse = vectors / values.sqrt() @ vectors.mT
    values, vectors = torch.linalg.eigh(root @ target.covariance() @ root)
    return inverse @ (vectors * values.sqrt() @ vectors.mT) @ inverse


def test_a_map_costs_little_more_than_the_literal_formula(compared, two_sides):
    ratio = compared(lambda: solve_map(*two_sides, ridge=0.0), lambda: literal_map(*two_sides), 3)
    assert ratio < 2


def test_a_map_with_its_diagnostics_costs_a_few_times_the_literal_formula(compared, two_sides):
    ratio = compared(
        lambda: solve_transport(*two_sides, ridge=0.0), lambda: literal_map(*two_sides), 3
    )
    assert ratio < 5


def alternations_by_logsumexp(x, y):
    """Alternations of ``torch.logsumexp`` over the cost of all pairs, in float32."""
    cost = torch.cdist(x, y).square() / EPS
    g, kept = torch.zeros(len(y)), RHO / (EPS + RHO)
    for _ in range(ALTERNATIONS):
        f = -torch.logsumexp(g - cost, dim=1) + math.log(len(y))
        last, g = g, -kept * (torch.logsumexp(f[:, None] - cost, dim=0) - math.log(len(x)))
    return f * EPS, last * EPS


def test_alternations_are_three_times_faster_than_by_logsumexp(compared, rng):
    x = torch.rand(PATCHES, VALUES, generator=rng) / 4
    y = torch.rand(REFERENCE, VALUES, generator=rng) / 4
    options = {"eps": EPS, "rho": RHO, "alternations": ALTERNATIONS, "tolerance": 0.0}
    found, (f, _) = patch_transport(x, y, **options), alternations_by_logsumexp(x, y)
    torch.testing.assert_close(found.source_potential, f, rtol=1e-3, atol=1e-4)
    ratio = compared(
        lambda: patch_transport(x, y, **options), lambda: alternations_by_logsumexp(x, y), 3
    )
    assert ratio < 1 / 3
