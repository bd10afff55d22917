"""The losses of residual-conditioned transport: closed forms, the saddle point, refusals."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.testing import assert_close

from dot_kernels import GaussianMoments, solve_transport
from dot_kernels.residual_networks import Potential, ResidualMap, draw_weights
from dot_kernels.residual_transport import TransportLoss, spectral_cost


@pytest.fixture
def images(rng):
    """Degraded and clean images, in float64."""
    return torch.rand(2, 4, 3, 6, 5, generator=rng, dtype=torch.float64).unbind()


def halved(images):
    """A map that is easy to compute with."""
    return images / 2


def brightness(images):
    """A potential that is easy to compute with."""
    return images.mean(dim=(1, 2, 3))


# The cost


def test_the_spectral_cost_of_power_two_is_the_mean_square(images):
    """Parseval's theorem."""
    residual = images[0] - images[1]
    assert_close(spectral_cost(residual, 2), residual.square().mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("power", [1, 2])
def test_the_spectral_cost_is_that_of_numpy(images, power):
    residual = images[0] - images[1]
    spectrum = np.fft.fft2(residual.numpy(), norm="ortho")
    expected = (np.abs(spectrum) ** power).mean(axis=(1, 2, 3))
    assert_close(spectral_cost(residual, power), torch.from_numpy(expected))


def test_power_one_favours_residuals_of_few_frequencies():
    """A wave and a dot of the same energy: 2 frequencies of 64, and all of them."""
    columns = torch.arange(8, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * columns / 4).expand(1, 3, 8, 8)
    dot = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    dot[..., 0, 0] = wave[0, 0].square().sum().sqrt()
    assert_close(spectral_cost(wave, 2), spectral_cost(dot, 2))
    # each of the two has half of the energy, 64 / 2: |F| = √16 twice
    assert float(spectral_cost(wave, 1)) == pytest.approx(2 * 4 / 64)
    assert float(spectral_cost(dot, 1)) == pytest.approx(math.sqrt(32) / 8)


@pytest.mark.parametrize("shift", [(0, 2), (3, 1)])
def test_the_spectral_cost_does_not_depend_on_where_the_residual_lies(images, shift):
    moved = images[0].roll(shift, dims=(2, 3))
    assert_close(spectral_cost(moved, 1), spectral_cost(images[0], 1))


def test_where_nothing_is_taken_away_gradients_are_finite():
    degraded = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    TransportLoss().cost(degraded * 1.0, degraded).sum().backward()
    assert torch.isfinite(degraded.grad).all()


# The losses


def test_the_loss_of_the_map_is_its_cost_less_the_potential(images):
    degraded, clean = images
    loss = TransportLoss(distance=2.0, gamma=0.5, power=2, paired=3.0)
    square = (degraded / 2).square().mean()
    pairs = (degraded / 2 - clean).square().mean()
    expected = 2.5 * square - degraded.mean() / 2 + 3 * pairs
    assert_close(loss.of_map(halved, brightness, degraded, clean), expected)


def test_the_loss_of_the_potential_is_what_it_gives_for_moved_images_less_clean_ones(images, rng):
    degraded, clean = images
    loss = TransportLoss().of_potential(halved, brightness, degraded, clean[:1], rng)
    assert_close(loss, degraded.mean() / 2 - clean[:1].mean())


def test_the_penalty_is_ten_times_the_squared_difference_of_slopes_and_one(images, rng):
    """The mean of n values has the slope 1 / √n everywhere."""
    plain, wgan = (
        TransportLoss(penalty=penalty).of_potential(halved, brightness, *images, rng)
        for penalty in (None, "wgan")
    )
    slope = 1 / math.sqrt(images[0][0].numel())
    assert_close(wgan - plain, torch.tensor(10 * (slope - 1) ** 2, dtype=torch.float64))


def test_the_penalty_looks_where_the_generator_says(images):
    """Of a square, whose slope differs from place to place."""

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        return TransportLoss(penalty="wgan").of_potential(
            halved, lambda x: x.square().sum(dim=(1, 2, 3)), *images, generator
        )

    assert torch.equal(loss(0), loss(0))
    assert not torch.equal(loss(0), loss(1))


def test_unpaired_images_are_not_compared(images):
    degraded, clean = images
    loss = TransportLoss()
    without = loss.of_map(halved, brightness, degraded, None)
    assert torch.equal(loss.of_map(halved, brightness, degraded, clean), without)


def test_each_loss_moves_its_own_network(images, rng):
    map_, potential = ResidualMap(width=4).double(), Potential(width=4).double()
    draw_weights(map_, rng)
    draw_weights(potential, rng)
    with torch.no_grad():
        potential.layers[-1].weight.fill_(0.1)
    degraded, clean = images
    loss = TransportLoss(penalty="wgan")
    loss.of_potential(map_, potential, degraded, clean, rng).backward()
    assert all(weight.grad is None for weight in map_.parameters())
    assert any(weight.grad.abs().max() > 0 for weight in potential.parameters())
    loss.of_map(map_, potential, degraded, None).backward()
    assert any(weight.grad.abs().max() > 0 for weight in map_.parameters())


# The saddle point


class LinearMap(nn.Module):
    """T(y) = My + m of all values of an image."""

    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(size, size, dtype=torch.float64)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(size))
            self.layer.bias.zero_()

    def forward(self, images):
        return self.layer(images.flatten(1)).reshape(images.shape)


class QuadraticPotential(nn.Module):
    """φ(x) = xᵀAx / 2 + aᵀx, at first 0."""

    def __init__(self, size):
        super().__init__()
        self.square = nn.Parameter(torch.zeros(size, size, dtype=torch.float64))
        self.line = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, images):
        values = images.flatten(1)
        return ((values @ self.square) * values).sum(dim=1) / 2 + values @ self.line


def approach(degraded, clean, loss, networks, turns, rate):
    """Goes to a saddle point: nearly the best map for the potential, then a step of that."""
    map_, potential = networks
    descent = torch.optim.LBFGS(map_.parameters(), max_iter=6)
    ascent = torch.optim.SGD(potential.parameters(), lr=rate)

    def value():
        descent.zero_grad()
        found = loss.of_map(map_, potential, degraded, None)
        found.backward()
        return found

    for turn in range(turns):
        descent.step(value)
        ascent.zero_grad()
        generator = torch.Generator().manual_seed(turn)
        loss.of_potential(map_, potential, degraded, clean, generator).backward()
        ascent.step()


@pytest.fixture
def gaussians():
    """Degraded and clean images of one pixel, Gaussian, and the map of eq. 2 between them.

    It stretches directions by 0.7 to 1.8.
    """
    generator = torch.Generator().manual_seed(4)
    sides = []
    for _ in range(2):
        drawn, spread = (
            torch.randn(rows, 3, generator=generator, dtype=torch.float64) for rows in (200, 3)
        )
        mean = torch.randn(3, generator=generator, dtype=torch.float64) / 2
        side = drawn @ (torch.eye(3) + spread / 4) + mean
        sides.append(side.reshape(-1, 3, 1, 1) / 2)
    moments = (GaussianMoments.of(side.flatten(1)) for side in sides)
    return *sides, solve_transport(*moments, ridge=0.0)


def relative_error(map_, operator):
    """How far a map is from the operator, as a share of what the operator changes."""
    weight, bias = (each.detach() for each in (map_.layer.weight, map_.layer.bias))
    error = weight - operator.matrix, bias - operator.offset()
    change = operator.matrix - torch.eye(len(operator.matrix)), operator.offset()
    found, whole = (math.hypot(*(float(part.norm()) for part in each)) for each in (error, change))
    return found / whole


def test_the_saddle_point_of_linear_maps_is_the_map_of_eq_2_which_a_penalty_leaves(gaussians):
    """With quadratic potentials. With the penalty, the map goes on from there to somewhere else."""
    *sides, operator = gaussians
    networks = LinearMap(3), QuadraticPotential(3)
    approach(*sides, TransportLoss(gamma=0.0), networks, turns=80, rate=0.4)
    assert relative_error(networks[0], operator) < 0.01
    penalised = TransportLoss(gamma=0.0, penalty="wgan")
    approach(*sides, penalised, networks, turns=40, rate=0.02)
    assert relative_error(networks[0], operator) > 0.5


# Refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gamma": -0.1}, "gamma must be finite and at least 0, got -0.1"),
        ({"paired": math.nan}, "paired must be finite and at least 0, got nan"),
        ({"distance": math.inf}, "distance must be finite and at least 0, got inf"),
        ({"distance": 0.0, "gamma": 0.0}, "distance or gamma must be above 0"),
        ({"power": 3}, "power must be 1 or 2, got 3|power"),
        ({"penalty": "lipschitz"}, "penalty must be wgan or None, got 'lipschitz'|penalty"),
    ],
)
def test_losses_that_are_none_are_refused(options, said):
    with pytest.raises((ValueError, TypeCheckError), match=said):
        TransportLoss(**options)


def test_pairs_need_clean_images_that_fit(images):
    degraded, clean = images
    loss = TransportLoss(paired=1.0)
    with pytest.raises(ValueError, match="paired must be 0 where there are no clean images"):
        loss.of_map(halved, brightness, degraded, None)
    with pytest.raises((ValueError, TypeCheckError), match=r"shape of degraded|clean"):
        loss.of_map(halved, brightness, degraded, clean[:2])


def test_a_penalty_needs_as_many_clean_images_as_degraded_ones(images, rng):
    degraded, clean = images
    with pytest.raises(ValueError, match=r"must have the shape of degraded ones, \(4, 3, 6, 5\)"):
        TransportLoss(penalty="wgan").of_potential(halved, brightness, degraded, clean[:2], rng)
