"""Σ₁ and μ₁ belong to the source, Σ₂ and μ₂ to the target, as in the kernels."""

import math
from dataclasses import replace
from statistics import median

import ot
import pytest
import torch
from torch.testing import assert_close

from dot_kernels import GaussianMoments, gelbrich_distance, solve_transport
from dot_kernels.spd import CONDITION_LIMIT
from dot_kernels.transport import DEFAULT_RIDGE

RANKS = [(None, None), (3, None), (None, 3), (3, 4), (4, 3), (2, 2)]
"""Ranks of a 6-dimensional source and target; both kernels point anywhere."""


def gaussian(mean, covariance, count=1001):
    """Moments that have exactly this mean and covariance."""
    mean, covariance = torch.as_tensor(mean).double(), torch.as_tensor(covariance).double()
    return GaussianMoments(count, mean, covariance * (count - 1))


def diagonal(*variances, count=1001):
    return gaussian(torch.zeros(len(variances)), torch.tensor(variances).diag(), count)


def root(matrix):
    """Symmetric root by the singular value decomposition, without rounding's leftovers."""
    left, values, _ = torch.linalg.svd(matrix)
    values = torch.where(values > 1e-12 * values[0], values, 0)  # roots of 1e-16 are 1e-8
    return left * values.sqrt() @ left.mT


def rotation(dimension, rng):
    return torch.linalg.qr(torch.randn(dimension, dimension, generator=rng).double()).Q


def ill_conditioned(dimension, condition, rng):
    """A covariance with a spectrum from 1 down to 1 / condition, even in its logarithm."""
    turn = rotation(dimension, rng)
    values = torch.logspace(0, -math.log10(condition), dimension).double()
    matrix = turn * values @ turn.mT
    return (matrix + matrix.mT) / 2


def spectral_norm(matrix):
    return torch.linalg.matrix_norm(matrix, ord=2).item()


def turned(moments, turn):
    return GaussianMoments(moments.count, turn @ moments.mean, turn @ moments.scatter @ turn.mT)


# Closed forms


@pytest.mark.parametrize(("mean_1", "sigma_1"), [(0.0, 1.0), (-2.0, 0.1), (3.0, 5.0)])
def test_map_in_one_dimension_is_the_ratio_of_standard_deviations(mean_1, sigma_1):
    source, target = gaussian([mean_1], [[sigma_1**2]]), gaussian([4.0], [[2.5**2]])
    operator = solve_transport(source, target, ridge=0.0)
    assert operator.matrix.item() == pytest.approx(2.5 / sigma_1)
    assert operator.offset().item() == pytest.approx(4 - 2.5 / sigma_1 * mean_1)


def test_map_between_commuting_covariances_is_the_root_of_their_ratio(rng):
    turn = rotation(4, rng)
    ones, twos = torch.tensor([1.0, 4.0, 0.5, 9.0]), torch.tensor([4.0, 1.0, 0.0, 0.25])
    source, target = turned(diagonal(*ones), turn), turned(diagonal(*twos), turn)
    matrix = solve_transport(source, target, ridge=0.0).matrix
    assert_close(matrix, turn @ (twos / ones).sqrt().diag().double() @ turn.mT)
    distance = (ones.sqrt() - twos.sqrt()).square().sum().item()
    assert gelbrich_distance(source, target) == pytest.approx(distance)


def test_empty_source_directions_are_filled_with_noise_of_the_target_variance(rng):
    turn = rotation(4, rng)
    source, target = turned(diagonal(1, 4, 0, 0), turn), turned(diagonal(9, 1, 2, 0), turn)
    operator = solve_transport(source, target, ridge=0.0)
    # the last direction, empty on both sides, stays as it is
    assert_close(operator.matrix, turn @ torch.tensor([3, 0.5, 0, 1]).double().diag() @ turn.mT)
    noise = torch.tensor([0, 0, 2, 0]).double().diag()
    assert_close(operator.noise_covariance, turn @ noise @ turn.mT)


def test_ridge_adds_its_share_of_the_mean_variance_to_both_sides():
    source, target = diagonal(1.0, 5.0), diagonal(8.0, 2.0)  # mean variances 3 and 5
    operator = solve_transport(source, target, ridge=0.1)
    ratio = torch.tensor([8.5 / 1.3, 2.5 / 5.3]).double()
    assert_close(operator.matrix, ratio.sqrt().diag())
    assert solve_transport(source, target).diagnostics.ridge == DEFAULT_RIDGE


# Properties


def test_map_of_a_distribution_to_itself_is_the_identity(random_moments):
    moments = random_moments(6)
    operator = solve_transport(moments, moments, ridge=0.0)
    assert not operator.is_stochastic
    assert_close(operator.matrix, torch.eye(6).double())
    assert_close(operator.offset(), torch.zeros(6).double())


@pytest.mark.parametrize("dimension", [36, 400, pytest.param(1728, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_no_digits_are_lost_at_a_condition_of_ten_billion(rng, dimension, scale):
    """The map of a Gaussian to itself is the identity, and A maps Σ to A Σ A."""
    source = ill_conditioned(dimension, 0.9e10, rng) * scale
    spread = ill_conditioned(dimension, 10, rng)  # symmetric, positive: the optimal map
    target = spread @ source @ spread
    moments = gaussian(torch.zeros(dimension), source, count=10**6)
    own = solve_transport(moments, moments, ridge=0.0)
    assert own.diagnostics.branch == "deterministic"
    assert spectral_norm(own.matrix - torch.eye(dimension)) < 1e-5
    moved = gaussian(torch.zeros(dimension), (target + target.mT) / 2, count=10**6)
    assert spectral_norm(solve_transport(moments, moved, ridge=0.0).matrix - spread) < 1e-5


@pytest.mark.parametrize("ratio", [1e-12, 1e12])
def test_source_and_target_may_be_of_any_scale(random_moments, ratio):
    source, target = random_moments(6), random_moments(6)
    scaled = GaussianMoments(target.count, target.mean * ratio, target.scatter * ratio**2)
    matrix = solve_transport(source, scaled, ridge=0.0).matrix
    assert_close(matrix / ratio, solve_transport(source, target, ridge=0.0).matrix)


@pytest.mark.parametrize("source_values", [(2.0, 2.0, 2.0), (2.0, 2.0, 1.0)])
@pytest.mark.parametrize("target_values", [(5.0, 5.0, 5.0), (5.0, 3.0, 3.0)])
def test_equal_eigenvalues_leave_the_map_unique(rng, source_values, target_values):
    source = turned(diagonal(*source_values), rotation(3, rng))
    target = turned(diagonal(*target_values), rotation(3, rng))
    matrix = solve_transport(source, target, ridge=0.0).matrix
    expected, _ = ot.gaussian.bures_wasserstein_mapping(
        source.mean, target.mean, source.covariance(), target.covariance()
    )
    assert_close(matrix, expected)


def test_directions_that_are_empty_on_both_sides_pass_unchanged(random_moments):
    """A map of grey images, in which the channels are equal, leaves the colours of others."""
    grey = torch.ones(3, 1).double() / 3**0.5
    source, target = (
        GaussianMoments(m.count, m.mean.repeat(3), torch.kron(grey @ grey.mT, m.scatter))
        for m in (random_moments(4), random_moments(4))
    )
    operator = solve_transport(source, target)
    assert operator.is_stochastic
    assert_close(operator.noise_covariance, torch.zeros(12, 12).double())
    colours = torch.linalg.qr(grey, mode="complete").Q[:, 1:]
    apart = torch.kron(colours.contiguous(), torch.eye(4).double())
    assert_close(operator.matrix @ apart, apart)


def test_map_of_a_singular_distribution_to_itself_leaves_its_support_alone(random_moments):
    moments = random_moments(6, 3)
    operator = solve_transport(moments, moments, ridge=0.0)
    assert operator.is_stochastic
    support = moments.covariance()
    assert_close(operator.matrix @ support, support)
    assert_close(operator.noise_covariance, torch.zeros(6, 6).double())


@pytest.mark.parametrize(("source_rank", "target_rank"), RANKS)
def test_mapped_source_has_the_target_moments(random_moments, source_rank, target_rank):
    source, target = random_moments(6, source_rank), random_moments(6, target_rank)
    operator = solve_transport(source, target, ridge=0.0)
    assert operator.is_stochastic == (source_rank is not None)
    mean, covariance = operator.push_forward(source.mean, source.covariance())
    assert_close(mean, target.mean)
    assert_close(covariance, target.covariance())
    assert operator.diagnostics.push_forward_error < 1e-7  # as assert_close for float64
    mapped = gaussian(mean, covariance)
    assert gelbrich_distance(mapped, target) == pytest.approx(0, abs=1e-6)  # roots of 1e-14
    assert operator.diagnostics.gelbrich_after == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("source_rank", "target_rank"), RANKS)
def test_mapping_costs_no_more_than_the_distance_of_the_gaussians(
    random_moments, source_rank, target_rank
):
    """E‖y − x‖² under the operator is the least possible, so the map is optimal."""
    source, target = random_moments(6, source_rank), random_moments(6, target_rank)
    operator = solve_transport(source, target, ridge=0.0)
    covariances = source.covariance().trace() + target.covariance().trace()
    cost = covariances - 2 * (operator.matrix @ source.covariance()).trace()
    cost = cost + (source.mean - target.mean).square().sum()
    assert cost.item() == pytest.approx(gelbrich_distance(source, target))


def test_mapped_samples_have_the_target_moments(random_moments, rng):
    samples = torch.randn(50, 6, generator=rng).double() + 5
    target = random_moments(6)
    operator = solve_transport(GaussianMoments.of(samples), target, ridge=0.0)
    mapped = GaussianMoments.of(samples @ operator.matrix.mT + operator.offset())
    assert_close(mapped.mean, target.mean)
    assert_close(mapped.covariance(), target.covariance())


def test_mapped_samples_of_a_plane_have_the_target_moments_thanks_to_the_noise(random_moments, rng):
    flat = torch.randn(40_000, 2, generator=rng) @ torch.randn(2, 6, generator=rng)
    white = torch.randn(40_000, 6, generator=rng).double()
    target = random_moments(6)
    operator = solve_transport(GaussianMoments.of(flat.double()), target, ridge=0.0)
    mapped = flat.double() @ operator.matrix.mT + operator.offset()
    moments = GaussianMoments.of(mapped + white @ root(operator.noise_covariance))
    # five standard errors of a variance of 1.5 over 40000 samples
    assert_close(moments.mean, target.mean, rtol=0, atol=0.05)
    assert_close(moments.covariance(), target.covariance(), rtol=0, atol=0.05)


def test_deterministic_map_is_the_gradient_of_a_convex_function(random_moments):
    matrix = solve_transport(random_moments(6), random_moments(6), ridge=0.0).matrix
    assert torch.equal(matrix, matrix.mT)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_there_and_back_is_the_identity(random_moments):
    a, b = random_moments(6), random_moments(6)
    there, back = solve_transport(a, b, ridge=0.0), solve_transport(b, a, ridge=0.0)
    assert_close(back.matrix @ there.matrix, torch.eye(6).double())


def test_map_turns_with_the_axes(random_moments, rng):
    source, target, turn = random_moments(6, 3), random_moments(6), rotation(6, rng)
    plain = solve_transport(source, target, ridge=0.0)
    twisted = solve_transport(turned(source, turn), turned(target, turn), ridge=0.0)
    assert_close(twisted.matrix, turn @ plain.matrix @ turn.mT)
    assert_close(twisted.noise_covariance, turn @ plain.noise_covariance @ turn.mT)
    assert_close(twisted.offset(), turn @ plain.offset())


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_map_does_not_depend_on_the_unit_of_the_latents(random_moments, scale):
    source, target = random_moments(6), random_moments(6)
    scaled = [GaussianMoments(m.count, m.mean, m.scatter * scale) for m in (source, target)]
    operator = solve_transport(*scaled)
    assert not operator.is_stochastic
    assert_close(operator.matrix, solve_transport(source, target).matrix)


def test_push_forward_lies_on_the_geodesic(random_moments):
    """Half way along the map is half as far, in W2, from either end."""
    source, target = random_moments(6), random_moments(6)
    operator = solve_transport(source, target, ridge=0.0)
    half = replace(
        operator,
        matrix=(operator.matrix + torch.eye(6)) / 2,
        target_mean=(source.mean + target.mean) / 2,
    )
    middle = gaussian(*half.push_forward(source.mean, source.covariance()))
    quarter = gelbrich_distance(source, target) / 4
    assert gelbrich_distance(source, middle) == pytest.approx(quarter)
    assert gelbrich_distance(middle, target) == pytest.approx(quarter)


# Independent references


def test_map_is_that_of_python_optimal_transport(random_moments):
    source, target = random_moments(8), random_moments(8)
    matrix, offset = ot.gaussian.bures_wasserstein_mapping(
        source.mean, target.mean, source.covariance(), target.covariance()
    )
    operator = solve_transport(source, target, ridge=0.0)
    assert_close(operator.matrix, matrix)
    assert_close(operator.offset(), offset.flatten())


@pytest.mark.parametrize("source_rank", [None, 3, 1])
def test_stochastic_operator_is_the_literal_formula_of_freirich(random_moments, source_rank):
    """Freirich et al. 2021, eq. 17 and 19, which need a target that can be inverted."""
    source, target = random_moments(6, source_rank), random_moments(6)
    sigma_1, sigma_2 = source.covariance(), target.covariance()
    root_2 = root(sigma_2)
    inverse_root_2 = torch.linalg.inv(root_2)
    pseudo_inverse_1 = torch.linalg.pinv(sigma_1, rtol=1e-10, hermitian=True)
    middle = root(root_2 @ sigma_1 @ root_2)
    star = inverse_root_2 @ middle @ inverse_root_2
    noise = torch.eye(6) - root_2 @ star @ pseudo_inverse_1 @ star @ root_2
    operator = solve_transport(source, target, ridge=0.0)
    assert_close(operator.matrix, root_2 @ middle @ inverse_root_2 @ pseudo_inverse_1)
    expected = torch.zeros_like(sigma_2) if source_rank is None else operator.noise_covariance
    assert_close(root_2 @ noise @ root_2, expected)


# Diagnostics


def test_diagnostics_say_what_was_measured():
    source, target = diagonal(1.0, 4.0, 0.25, count=50), diagonal(9.0, 1.0, 1.0, count=70)
    told = solve_transport(source, target, ridge=0.0).diagnostics
    assert (told.branch, told.ridge) == ("deterministic", 0.0)
    assert (told.source_count, told.target_count) == (50, 70)
    assert told.source_condition == pytest.approx(16)
    assert told.source_rank == 3
    assert told.largest_gain == pytest.approx(3)
    assert told.push_forward_error == pytest.approx(0, abs=1e-12)
    assert told.gelbrich_before == pytest.approx(2**2 + 1 + 0.5**2)
    assert told.gelbrich_after == pytest.approx(0, abs=1e-12)


def test_diagnostics_count_the_error_that_the_ridge_makes():
    source, target = diagonal(1.0, 5.0), diagonal(8.0, 2.0)
    told = solve_transport(source, target, ridge=0.1).diagnostics
    mapped = (8.5 / 1.3, 5 * 2.5 / 5.3)
    error = math.hypot(mapped[0] - 8, mapped[1] - 2) / math.hypot(8, 2)
    assert told.push_forward_error == pytest.approx(error)
    after = sum((math.sqrt(m) - math.sqrt(t)) ** 2 for m, t in zip(mapped, (8, 2), strict=True))
    assert told.gelbrich_after == pytest.approx(after)
    assert told.gelbrich_before == pytest.approx(gelbrich_distance(source, target))
    assert told.source_condition == pytest.approx(5)
    assert told.variance_reached_least == pytest.approx(min(mapped[0] / 8, mapped[1] / 2))


def test_the_variance_reached_is_told_direction_by_direction(random_moments):
    """The Frobenius error hides narrow directions, of which half are not reached here."""
    source, target = diagonal(*[1.0] * 10), diagonal(100.0, 100.0, *[1e-4] * 8)
    told = solve_transport(source, target, ridge=1e-5).diagnostics
    mean = 200.0008 / 10
    assert told.push_forward_error < 1e-5
    assert told.variance_reached_median == pytest.approx((1e-4 + 1e-5 * mean) / 1.00001 / 1e-4)
    source, target = random_moments(7), random_moments(7, 4)
    values, vectors = torch.linalg.eigh(target.covariance())
    operator = solve_transport(source, target, ridge=0.3)
    mapped = operator.push_forward(source.mean, source.covariance())[1]
    shares = torch.stack(
        [v @ mapped @ v / w for w, v in zip(values[3:], vectors.mT[3:], strict=True)]
    )
    assert operator.diagnostics.variance_reached_median == pytest.approx(median(shares.tolist()))
    assert operator.diagnostics.variance_reached_least == pytest.approx(shares.min().item())


def test_the_condition_of_the_source_chooses_the_branch():
    target = diagonal(1.0, 1.0)
    for condition, branch in ((CONDITION_LIMIT / 2, "deterministic"), (1e11, "stochastic")):
        told = solve_transport(diagonal(1.0, 1 / condition), target, ridge=0.0).diagnostics
        assert told.source_condition == pytest.approx(condition)
        assert told.branch == branch
        assert told.source_rank == (2 if branch == "deterministic" else 1)


@pytest.mark.parametrize("ridge", [0.0, 1e-5, 0.1])
def test_no_ridge_hides_that_the_source_is_singular(random_moments, ridge):
    operator = solve_transport(random_moments(6, 3), random_moments(6), ridge=ridge)
    assert operator.is_stochastic
    assert operator.diagnostics.source_rank == 3
    assert operator.diagnostics.source_condition > CONDITION_LIMIT


# Refusals


@pytest.mark.parametrize("count", [0, 2, 6])
def test_no_more_patches_than_dimensions_are_refused_on_either_side(random_moments, count):
    enough, few = random_moments(6), replace(random_moments(6), count=count)
    rule = f"must hold more patches than the 6 dimensions of a patch, got {count}"
    with pytest.raises(ValueError, match=f"source {rule}"):
        solve_transport(few, enough)
    with pytest.raises(ValueError, match=f"target {rule}"):
        solve_transport(enough, few)


def test_patches_that_do_not_vary_are_refused_on_either_side(random_moments):
    alike = GaussianMoments.of(torch.ones(10, 6))
    with pytest.raises(ValueError, match="source patches must vary, got 10 equal ones"):
        solve_transport(alike, random_moments(6))
    with pytest.raises(ValueError, match="target patches must vary, got 10 equal ones"):
        solve_transport(random_moments(6), alike)


@pytest.mark.parametrize("field", ["mean", "scatter"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_moments_that_are_not_finite_are_refused(random_moments, field, value):
    good = random_moments(6)
    bad = replace(good, **{field: torch.full_like(getattr(good, field), value)})
    with pytest.raises(ValueError, match="target moments must be finite"):
        solve_transport(good, bad)


def test_a_negative_ridge_is_refused(random_moments):
    with pytest.raises(ValueError, match=r"ridge must be at least 0, got -0\.1"):
        solve_transport(random_moments(2), random_moments(2), ridge=-0.1)


def test_moments_of_different_dimensions_are_refused(random_moments):
    with pytest.raises(ValueError, match="same dimension, got 2 and 3"):
        solve_transport(random_moments(2), random_moments(3))
