import math

import numpy as np
import ot
import pytest
import scipy.linalg
import torch

from dot_kernels import GaussianMoments, gelbrich_distance


def gaussian(mean, covariance):
    """Moments that have exactly this mean and covariance."""
    mean, covariance = torch.as_tensor(mean).double(), torch.as_tensor(covariance).double()
    return GaussianMoments(1001, mean, covariance * 1000)


# Closed forms


@pytest.mark.parametrize(("mean", "sigma"), [(0.0, 1.0), (4.0, 2.5), (1.0, 0.0)])
def test_distance_in_one_dimension_is_that_of_means_and_standard_deviations(mean, sigma):
    a, b = gaussian([-2.0], [[0.1**2]]), gaussian([mean], [[sigma**2]])
    assert gelbrich_distance(a, b) == pytest.approx((mean + 2) ** 2 + (sigma - 0.1) ** 2)


def test_gelbrich_distance_of_equal_covariances_is_that_of_the_means():
    a, b = gaussian([0.0, 0.0], torch.eye(2)), gaussian([3.0, 4.0], torch.eye(2))
    assert gelbrich_distance(a, b) == pytest.approx(25)


# Independent references


@pytest.mark.parametrize(("rank_a", "rank_b"), [(None, None), (3, None), (3, 4)])
def test_gelbrich_distance_is_the_square_of_that_of_python_optimal_transport(
    random_moments, rank_a, rank_b
):
    a, b = random_moments(8, rank_a), random_moments(8, rank_b)
    distance = ot.gaussian.bures_wasserstein_distance(
        a.mean, b.mean, a.covariance(), b.covariance()
    )
    # its roots of eigenvalues that should be zero are about 1e-8
    assert gelbrich_distance(a, b) == pytest.approx(float(distance) ** 2, rel=1e-6)


def test_gelbrich_distance_is_the_frechet_distance_by_scipy(random_moments):
    a, b = random_moments(8), random_moments(8)
    product = scipy.linalg.sqrtm(a.covariance().numpy() @ b.covariance().numpy())
    trace = a.covariance().trace() + b.covariance().trace() - 2 * np.trace(product).real
    frechet = (a.mean - b.mean).square().sum() + trace
    assert gelbrich_distance(a, b) == pytest.approx(float(frechet))


# The distance is one


@pytest.mark.parametrize(
    ("rank_a", "rank_b"), [(None, None), (3, None), (None, 3), (3, 4), (4, 3), (2, 2)]
)
def test_gelbrich_distance_is_symmetric_and_zero_to_itself(random_moments, rank_a, rank_b):
    a, b = random_moments(6, rank_a), random_moments(6, rank_b)
    assert gelbrich_distance(a, b) == pytest.approx(gelbrich_distance(b, a))
    assert 0 <= gelbrich_distance(a, a) < 1e-12 < gelbrich_distance(a, b)


def test_gelbrich_distance_obeys_the_triangle_inequality(random_moments):
    a, b, c = (random_moments(4) for _ in range(3))
    direct = math.sqrt(gelbrich_distance(a, c))
    assert direct < math.sqrt(gelbrich_distance(a, b)) + math.sqrt(gelbrich_distance(b, c))


# Refusals


def test_moments_of_different_dimensions_are_refused(random_moments):
    with pytest.raises(ValueError, match="same dimension, got 3 and 2"):
        gelbrich_distance(random_moments(3), random_moments(2))


def test_the_distance_of_a_single_sample_is_refused(random_moments):
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        gelbrich_distance(random_moments(2), GaussianMoments.of(torch.ones(1, 2)))
