"""Points of a mixture of three Gaussians under white noise, estimated by transports.

The posterior and its mean are known in closed form, and so is what theory says of the squared error
of each estimator. The parameters of the mixture are our own.

Axes: n points, k = 3 Gaussians, 2 coordinates.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.distributions import MultivariateNormal

from dot_kernels import GaussianMoments, gelbrich_distance, solve_transport

SIGMA = 1.5
"""Standard deviation of the noise."""

MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]).double()
COVARIANCES = torch.tensor(
    [[[0.2, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.2]], [[0.5, 0.3], [0.3, 0.5]]]
).double()
"""Of the three Gaussians, each with a third of the points."""

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the curve is measured: 0 is the full transport, 1 the posterior mean."""

Points = Float64[Tensor, "n 2"]
Components = Int64[Tensor, "n"]


class Draw(NamedTuple):
    """Points, what is seen of them, and what Bayes says of that."""

    component: Components
    truth: Points
    seen: Points
    posterior_mean: Points
    posterior_sample: Points


class Estimates(NamedTuple):
    """A draw with its transports, and the numbers that the theory is about."""

    draw: Draw
    others: Points
    """As many points of the mixture that have nothing to do with the draw: what distances are to,
    and where the optimal transport ends."""
    transported: Points
    """By the map between the Gaussians of posterior means and of the mixture."""
    optimal: Points
    """By the optimal transport to the other points."""
    gaussian_distance: float
    """Squared distance of these two Gaussians: what the map adds to the squared error."""

    def at(self, alpha: float) -> Points:
        """The transported points, taken back toward the posterior mean by alpha."""
        return (1 - alpha) * self.transported + alpha * self.draw.posterior_mean

    def error(self, points: Points) -> float:
        """Mean squared error of estimates."""
        return (points - self.draw.truth).square().sum(1).mean().item()

    def distance(self, points: Points) -> float:
        """2-Wasserstein distance of estimates to the mixture, by its other points."""
        return wasserstein(points, self.others)


def drawn(count: int, generator: torch.Generator) -> Draw:
    """Draw points, and from the closed form of the posterior its mean and a sample for each."""
    white = torch.randn(3, count, 2, 1, generator=generator, dtype=torch.float64)
    component = torch.arange(count) % len(MEANS)
    roots = torch.linalg.cholesky(COVARIANCES)[component]
    truth = MEANS[component] + (roots @ white[0])[..., 0]
    seen = truth + SIGMA * white[1, ..., 0]
    chances, centres, covariances = posterior(seen)
    chosen = torch.multinomial(chances, 1, generator=generator)[:, 0]
    spread = (torch.linalg.cholesky(covariances)[chosen] @ white[2])[..., 0]
    return Draw(
        component,
        truth,
        seen,
        posterior_mean=(chances[..., None] * centres).sum(1),
        posterior_sample=centres[torch.arange(count), chosen] + spread,
    )


def posterior(
    seen: Points,
) -> tuple[Float64[Tensor, "n k"], Float64[Tensor, "n k 2"], Float64[Tensor, "k 2 2"]]:
    """Chances, means and covariances of the Gaussians of which the posterior is a mixture."""
    spread = COVARIANCES + SIGMA**2 * torch.eye(2, dtype=torch.float64)
    gain = COVARIANCES @ torch.linalg.inv(spread)
    chances = MultivariateNormal(MEANS, spread).log_prob(seen[:, None]).softmax(1)
    centres = MEANS + (gain @ (seen[:, None] - MEANS)[..., None])[..., 0]
    return chances, centres, SIGMA**2 * gain


def density(places: Points) -> Float64[Tensor, "n"]:
    """Density of the mixture."""
    found: Tensor = MultivariateNormal(MEANS, COVARIANCES).log_prob(places[:, None])
    return found.exp().mean(1)


def estimate(count: int, seed: int = 0) -> Estimates:
    """Draw points and transport their posterior means, by a map that is fitted on ten times more.

    Args:
        count: of points; the optimal transport takes the third power of it in time.
        seed: of all that is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    fitted, draw, others = (drawn(n, generator) for n in (10 * count, count, count))
    source, target = (GaussianMoments.of(p) for p in (fitted.posterior_mean, fitted.truth))
    operator = solve_transport(source, target, ridge=0.0)
    return Estimates(
        draw,
        others.truth,
        draw.posterior_mean @ operator.matrix.mT + operator.offset(),
        others.truth[_nearest(draw.posterior_mean, others.truth)],
        gelbrich_distance(source, target),
    )


def wasserstein(first: Points, second: Points) -> float:
    """2-Wasserstein distance of two sets of as many points: that of the best pairs."""
    return math.sqrt((first - second[_nearest(first, second)]).square().sum(1).mean().item())


def _nearest(first: Points, second: Points) -> Int64[Tensor, "n"]:
    """Which of the second points each first one goes to, for the least sum of squares."""
    _, places = linear_sum_assignment(torch.cdist(first, second).square().numpy())
    return torch.from_numpy(places)


class Row(NamedTuple):
    """An estimator, as it is measured."""

    name: str
    error: float
    """Mean squared error."""
    theory: float
    """What the error is in theory, from that of the posterior mean and a distance."""
    distance: float
    """To the mixture; about that of two draws of the mixture even for the truth."""


def measured(found: Estimates) -> dict[str, Row]:
    """Measure all estimators, by their names; those of an alpha bear it."""
    draw = found.draw
    least, furthest = found.error(draw.posterior_mean), found.distance(draw.posterior_mean)
    theory = {
        f"{alpha:g}": (found.at(alpha), least + (1 - alpha) ** 2 * found.gaussian_distance)
        for alpha in ALPHAS
    }
    theory |= {
        "optimal transport": (found.optimal, least + furthest**2),
        "posterior sample": (draw.posterior_sample, 2 * least),
        "seen": (draw.seen, 2 * SIGMA**2),
        "truth": (draw.truth, 0.0),
    }
    return {
        name: Row(name, found.error(points), error, found.distance(points))
        for name, (points, error) in theory.items()
    }
