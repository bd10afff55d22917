"""The Monge distance against POT's sliced Wasserstein distance, and closed forms."""

import math

import ot
import pytest
import torch

from dot_kernels.metrics import monge_distance
from dot_kernels.metrics.sliced_wasserstein import PROJECTIONS


@pytest.fixture
def sets(rng):
    return torch.randn(40, 6, generator=rng), 0.5 + 1.3 * torch.randn(40, 6, generator=rng)


def test_it_is_that_of_pot_over_the_same_directions(sets):
    generator = torch.Generator().manual_seed(2021)
    directions = torch.randn(PROJECTIONS, 6, generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=1, keepdim=True)).T.numpy()
    x, y = (side.double().numpy() for side in sets)
    root = ot.sliced_wasserstein_distance(x, y, projections=directions, p=2)
    assert monge_distance(*sets) == pytest.approx(3 * 6 * root**2, rel=1e-9)


def test_a_shift_costs_three_times_its_square(rng):
    """Over all directions the mean square of a shift's projection is its square over d."""
    features, shift = torch.randn(30, 4, generator=rng), torch.tensor([3.0, 0.0, -4.0, 0.0])
    spread = 3 * math.sqrt(2 / (4 + 2) * 3 / PROJECTIONS)  # of a Beta(1/2, 3/2), three deviations
    assert monge_distance(features, features + shift) == pytest.approx(75, rel=spread)


def test_equal_sets_are_at_no_distance_in_any_order(sets, rng):
    x, _ = sets
    assert monge_distance(x, x[torch.randperm(40, generator=rng)]) == pytest.approx(0, abs=1e-20)


def test_it_is_symmetric_and_of_the_first_images_of_the_larger_set(sets):
    x, y = sets
    assert monge_distance(x, y) == pytest.approx(monge_distance(y, x), rel=1e-12)
    assert monge_distance(x, y[:25]) == monge_distance(x[:25], y[:25])


def test_an_empty_set_has_no_distance(sets):
    assert monge_distance(sets[0], sets[1][:0]) is None
