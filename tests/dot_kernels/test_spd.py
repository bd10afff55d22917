import pytest
import scipy.linalg
import torch
from torch.testing import assert_close

from dot_kernels.spd import factor, spectrum, square_root


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


def test_factor_of_a_matrix_that_cholesky_refuses_is_its_root():
    matrix = torch.tensor([0.0, 4.0, 9.0]).double().diag()
    assert_close(factor(matrix), square_root(matrix))


@pytest.mark.parametrize("rank", [None, 3])
def test_negative_powers_are_those_of_the_pseudo_inverse(random_spd, rank):
    matrix = random_spd(6, rank)
    inverse = torch.linalg.pinv(matrix, rtol=1e-10, hermitian=True)
    assert_close(spectrum(matrix).power(-1.0, cutoff=1e-10), inverse)
    assert_close(spectrum(matrix).power(-0.5, cutoff=1e-10), square_root(inverse))


def test_directions_at_or_below_the_cutoff_count_for_nothing():
    values = spectrum(torch.tensor([1.0, 10.0, 100.0]).double().diag())
    assert values.rank(0.0) == 3
    assert values.rank(0.01) == 2  # strictly above one hundredth of 100
    assert_close(values.power(-1.0, cutoff=0.01), torch.tensor([0.0, 0.1, 0.01]).double().diag())


def test_condition_is_the_ratio_of_extreme_eigenvalues():
    assert spectrum(torch.tensor([2.0, 8.0, 4.0]).double().diag()).condition == 4
    assert spectrum(torch.tensor([2.0, 0.0]).double().diag()).condition == float("inf")


def test_the_zero_matrix_has_rank_zero_and_zero_powers():
    zero = torch.zeros(3, 3).double()
    values = spectrum(zero)
    assert values.rank(0.0) == 0
    assert values.condition == float("inf")
    assert torch.equal(values.power(-0.5), zero)


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
