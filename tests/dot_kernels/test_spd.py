import pytest
import scipy.linalg
import torch
from torch.testing import assert_close

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.spd import condition, eigenvalues, factor, filled, spectrum, square_root


@pytest.fixture
def random_spd(random_moments):
    """Draws a symmetric positive matrix of the wanted rank."""

    def draw(dimension, rank=None):
        return random_moments(dimension, rank).covariance()

    return draw


def rotation(dimension, rng):
    gaussian = torch.randn(dimension, dimension, generator=rng, dtype=torch.float64)
    return torch.linalg.qr(gaussian).Q


def test_root_of_a_diagonal_matrix_is_the_root_of_its_entries():
    matrix = torch.tensor([0.0, 4.0, 9.0, 1e-8]).double().diag()
    assert_close(square_root(matrix), torch.tensor([0.0, 2.0, 3.0, 1e-4]).double().diag())


def test_root_is_that_of_scipy(random_spd):
    matrix = random_spd(8)
    assert_close(square_root(matrix).numpy(), scipy.linalg.sqrtm(matrix.numpy()))


def test_root_turns_with_the_matrix(random_spd, rng):
    matrix, turn = random_spd(6), rotation(6, rng)
    assert_close(square_root(turn @ matrix @ turn.mT), turn @ square_root(matrix) @ turn.mT)


@pytest.mark.parametrize("rank", [None, 3])
def test_root_is_symmetric_and_squares_to_the_matrix(random_spd, rank):
    matrix = random_spd(6, rank)
    root = square_root(matrix)
    assert_close(root, root.mT)
    assert_close(root @ root, matrix)


@pytest.mark.parametrize("rank", [None, 3])
def test_factor_times_its_transpose_is_the_matrix(random_spd, rank):
    matrix = random_spd(6, rank)
    assert_close(factor(matrix) @ factor(matrix).mT, matrix)


def test_factor_of_a_matrix_that_cholesky_refuses_has_a_column_for_each_rank():
    matrix = torch.tensor([0.0, 4.0, 9.0]).double().diag()
    found = factor(matrix)
    assert found.shape == (3, 2)
    assert_close(found @ found.mT, matrix)


def gram(d, rank, rng, decades=0.0):
    """A matrix of known rank, whose rows and columns differ by some decades in size."""
    rows = torch.randn(d, rank, generator=rng, dtype=torch.float64)
    rows = (
        rows
        * torch.logspace(-decades / 2, decades / 2, d).double()[torch.randperm(d, generator=rng)][
            :, None
        ]
    )
    return rows @ rows.mT


@pytest.mark.parametrize("rank", [1, 2, 20, 30])
@pytest.mark.parametrize("decades", [0.0, 4.0])
def test_factor_of_a_singular_matrix_has_its_rank_and_its_rows(rng, rank, decades):
    matrix = gram(40, rank, rng, decades)
    found = factor(matrix)
    assert found.shape == (40, rank)
    assert_close(found @ found.mT, matrix, rtol=0, atol=1e-12 * float(matrix.norm()))


def test_rows_of_a_factor_are_in_order_whatever_the_pivots(rng):
    """The largest entry comes first in the factor's columns and last in its rows."""
    values = torch.tensor([0.0, 1.0, 4.0, 9.0]).double()
    assert factor(values.diag()).tolist() == [[0, 0, 0], [0, 0, 1], [0, 2, 0], [3, 0, 0]]
    matrix, order = gram(12, 5, rng), torch.randperm(12, generator=rng)
    turned = factor(matrix[order][:, order])
    assert_close(turned @ turned.mT, (factor(matrix) @ factor(matrix).mT)[order][:, order])


def test_factor_of_a_zero_matrix_has_no_columns():
    assert factor(torch.zeros(3, 3).double()).shape == (3, 0)


def test_factor_of_a_positive_matrix_is_that_of_cholesky(random_spd):
    matrix = random_spd(7)
    assert_close(factor(matrix).numpy(), scipy.linalg.cholesky(matrix.numpy(), lower=True))


def test_factor_scales_with_the_root_of_the_matrix(rng):
    matrix = gram(20, 6, rng)
    for scale in (1e-30, 1e30):
        assert_close(factor(scale * matrix) / scale**0.5, factor(matrix))


@pytest.mark.parametrize(("n", "m"), [(5, 8), (20, 30), (20, 90), (30, 41)])
def test_distance_of_few_samples_is_that_of_the_samples_themselves(rng, n, m):
    """No covariance and no root: centred samples A and B give tr (…)^½ as ‖A Bᵀ‖, nuclear."""
    mixing = torch.randn(48, 48, generator=rng, dtype=torch.float64)
    a, b = (torch.randn(k, 48, generator=rng, dtype=torch.float64) @ mixing for k in (n, m))
    centred = [(x - x.mean(dim=0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    spreads = sum(x.square().sum() for x in centred)
    cross = torch.linalg.svdvals(centred[0] @ centred[1].mT).sum()
    expected = float((a.mean(dim=0) - b.mean(dim=0)).square().sum() + spreads - 2 * cross)
    value = gelbrich_distance(GaussianMoments.of(a), GaussianMoments.of(b))
    assert value == pytest.approx(expected, rel=1e-10)


def test_directions_at_or_below_the_limit_are_empty():
    values = torch.tensor([0.5, 1.0, 2.0, 64.0]).double()
    assert filled(values, 64.0).tolist() == [False, False, True, True]
    assert not filled(torch.zeros(3).double(), 64.0).any()


def test_condition_is_the_ratio_of_extreme_eigenvalues():
    assert condition(torch.tensor([2.0, 4.0, 8.0]).double()) == 4
    assert condition(torch.tensor([0.0, 2.0]).double()) == float("inf")


def test_eigenvalues_are_those_of_the_spectrum(random_spd):
    matrix = random_spd(6, 3)
    assert_close(eigenvalues(matrix), spectrum(matrix).values)
    assert eigenvalues(matrix).min() >= 0


def test_the_root_of_the_zero_matrix_is_zero():
    zero = torch.zeros(3, 3).double()
    assert torch.equal(square_root(zero), zero)


def test_eigenvalues_that_rounding_made_negative_are_zero():
    assert spectrum(torch.tensor([-1e-10, 1.0]).double().diag()).values.tolist() == [0, 1]


def test_an_asymmetry_from_rounding_is_averaged_away():
    skewed = torch.tensor([[2.0, 1e-9], [-1e-9, 2.0]]).double()
    assert torch.equal(spectrum(skewed).values, torch.full((2,), 2.0).double())


def test_a_truly_negative_eigenvalue_is_refused():
    with pytest.raises(ValueError, match=r"semi-definite, got the eigenvalue -0\.5"):
        spectrum(torch.tensor([-0.5, 1.0]).double().diag())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_matrix_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="covariance must be finite"):
        spectrum(torch.full((2, 2), value).double())
