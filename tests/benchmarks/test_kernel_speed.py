"""The fold as a convolution, and transport of patches, against the forms they replace."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional

from dot_kernels import GaussianMoments, solve_transport, transport_latents
from dot_kernels.sinkhorn import patch_transport
from dot_kernels.transport import solve_map

CHANNELS, SIZE = 4, 5
SUPPORT = str(Path(__file__).parents[1] / "support")


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


def by_logsumexp(x, y, *, eps, rho, alternations, start=None):
    """``patch_transport`` by ``torch.logsumexp`` over the cost of all pairs, in float32.

    Returns f, g and what each x is moved to.
    """
    cost, kept = torch.cdist(x, y).square() / eps, rho / (eps + rho)

    def first(f):
        return -kept * (torch.logsumexp(f[:, None] - cost, dim=0) - math.log(len(x)))

    g = torch.zeros(len(y)) if start is None else first(start / eps)
    for number in range(alternations):
        g = g if number == 0 else first(f)
        f = -torch.logsumexp(g - cost, dim=1) + math.log(len(y))
    return f * eps, g * eps, (g - cost).softmax(dim=1) @ y


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "alternations", "times"),
    [
        pytest.param((8000, 5000, 64), 10, 3, id="ten alternations from nothing"),
        pytest.param((15_876, 2000, 108), 3, 3, id="a step of a descent at 256 × 256"),
        pytest.param((3721, 2000, 108), 3, 1.2, id="a step of a descent at 128 × 128"),
    ],
)
def test_transport_of_patches_is_a_few_times_faster_than_by_logsumexp(
    compared, rng, sizes, alternations, threads, times
):
    """All of it: potentials, barycentres, value and error, against the first two alone.

    The whole plan of the last size takes 30 MB, which the C library may hand out again from one
    operation to the next: then logsumexp gains most, and what both spend on products of patches
    weighs most. On a busy machine two threads wait for each other in either form.
    """
    patches, reference, values = sizes
    x = torch.rand(patches, values, generator=rng) / 4
    y = torch.rand(reference, values, generator=rng) / 4
    options = {"eps": 0.02, "rho": 0.05, "alternations": alternations}
    if alternations == 3:  # goes on from where it was
        options["start"] = patch_transport(x, y, **options).source_potential
    exact = options | {"tolerance": 0.0}  # so that both alternate as often
    found, (f, g, moved) = patch_transport(x, y, **exact), by_logsumexp(x, y, **options)
    torch.testing.assert_close(found.source_potential, f, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.reference_potential, g, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.barycentres, moved, rtol=1e-3, atol=1e-3)
    with threadpool_limits(threads):
        ratio = compared(
            lambda: patch_transport(x, y, **exact), lambda: by_logsumexp(x, y, **options), 7
        )
    assert ratio < 1 / times


@pytest.fixture
def peak_of():
    """A function that runs a transport in a process of its own: its peak memory in MiB."""

    def measure(patches: int, reference: int) -> float:
        work = (
            "import torch\n"
            "from costs.process_memory import used\n"
            "from dot_kernels.sinkhorn import patch_transport\n"
            f"x, y = torch.rand({patches}, 16), torch.rand({reference}, 16)\n"
            "before = used('VmHWM')\n"
            "patch_transport(x, y, eps=0.1, rho=0.1, alternations=1)\n"
            "print(used('VmHWM') - before)\n"
        )
        alone = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": SUPPORT}
        command = [sys.executable, "-c", work]
        done = subprocess.run(command, check=True, capture_output=True, env=alone)
        return int(done.stdout) / 2**20

    return measure


def test_memory_of_a_transport_does_not_grow_with_the_plan(peak_of):
    """Twice as many patches: another gigabyte of plan, were it held."""
    small, large = peak_of(26_000, 10_000), peak_of(52_000, 10_000)
    print(f"\n{small:.0f} MiB for 260 million pairs, {large:.0f} for 520 million")
    assert large < small + 50  # patches and results grow by some MiB
