"""Why to transport at all: the two-dimensional example, against closed forms and the theory."""

import math
import sys

import ot
import pytest
import torch
import two_dimensional_mixture
from mixture import ALPHAS, SIGMA, density, drawn, estimate, measured, posterior, wasserstein
from PIL import Image
from torch.distributions import MultivariateNormal

POINTS = 500
ROUGH = 5 / math.sqrt(POINTS)
"""Five standard errors of a mean of so many values that spread by their own size."""


@pytest.fixture(scope="module")
def found():
    return estimate(POINTS)


def test_the_posterior_mean_is_that_of_bayes_on_a_grid():
    """The mean under density times likelihood, summed over the plane."""
    side = torch.linspace(-9, 9, 400, dtype=torch.float64)
    places = torch.cartesian_prod(side, side)
    seen = drawn(9, torch.Generator().manual_seed(1)).seen
    noise = MultivariateNormal(torch.zeros(2).double(), SIGMA**2 * torch.eye(2).double())
    weights = density(places) * noise.log_prob(seen[:, None] - places).exp()  # (9, 160000)
    expected = weights @ places / weights.sum(1, keepdim=True)
    chances, centres, _ = posterior(seen)
    torch.testing.assert_close((chances[..., None] * centres).sum(1), expected)


def test_distances_are_those_of_an_independent_solver(found):
    mean, others = found.draw.posterior_mean, found.others
    expected = math.sqrt(ot.emd2([], [], ot.dist(mean.numpy(), others.numpy())))
    assert wasserstein(mean, others) == pytest.approx(expected)


def test_errors_are_those_of_the_theory():
    """A sampler has twice the least error; the transport adds the distance of the Gaussians."""
    draw = drawn(40_000, torch.Generator().manual_seed(2))
    chances, centres, covariances = posterior(draw.seen)
    within = covariances.diagonal(dim1=1, dim2=2).sum(1)
    between = (centres - draw.posterior_mean[:, None]).square().sum(2)
    least = (chances * (within + between)).sum(1).mean().item()

    def error(points):
        return (points - draw.truth).square().sum(1).mean().item()

    assert error(draw.posterior_mean) == pytest.approx(least, rel=0.025)
    assert error(draw.posterior_sample) == pytest.approx(2 * least, rel=0.025)


def test_what_alpha_adds_to_the_error_is_the_distance_of_the_gaussians(found):
    mean = found.draw.posterior_mean
    for alpha in ALPHAS:
        added = (found.at(alpha) - mean).square().sum(1).mean().item()
        expected = (1 - alpha) ** 2 * found.gaussian_distance
        assert added == pytest.approx(expected, rel=ROUGH)
    assert found.at(1).equal(mean)


def test_optimal_transport_is_the_bound_and_no_alpha_is_below_it(found):
    """Freirich et al. 2021: an estimate at a distance P adds (P* − P)² to the error, or more."""
    mean = found.draw.posterior_mean
    furthest = found.distance(mean)
    for alpha in ALPHAS:
        line = (1 - alpha) * found.optimal + alpha * mean
        assert found.distance(line) == pytest.approx(alpha * furthest, abs=1e-9)
        moved = found.at(alpha)
        added = (moved - mean).square().sum(1).mean().item()
        assert added >= (furthest - found.distance(moved)) ** 2 - 1e-9


def test_transport_is_nearer_than_the_posterior_mean_and_errs_less_than_a_sample(found):
    rows = measured(found)
    assert rows["1"].error < rows["0"].error < rows["posterior sample"].error
    assert rows["0"].error < 1.3 * rows["1"].error
    distances = [rows[f"{alpha:g}"].distance for alpha in ALPHAS]
    assert distances == sorted(distances)
    assert rows["optimal transport"].distance == 0
    assert rows["0"].distance > 1.2 * rows["truth"].distance  # the mixture is no Gaussian


def test_the_command_prints_the_numbers_and_writes_the_picture(tmp_path, monkeypatch, capsys):
    picture = tmp_path / "mixture.png"
    monkeypatch.setattr(sys, "argv", ["mixture", str(picture), "--points", "90"])
    two_dimensional_mixture.main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:6]] == [f"{alpha:g}" for alpha in ALPHAS]
    with Image.open(picture) as image:
        assert image.size == (864, 1056)
