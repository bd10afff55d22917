import math

import numpy as np
import ot
import pytest
import torch
from jaxtyping import TypeCheckError

from dot_kernels import sinkhorn
from dot_kernels.sinkhorn import patch_transport

EPS = 0.05
CASES = [("balanced", math.inf), ("semi", 0.05), ("semi", 1.0), ("unbalanced", 0.3)]
EXACT = {"alternations": 2000, "tolerance": 1e-12}


@pytest.fixture
def patches(rng):
    """Sixty patches and a reference of 45 that lie a little apart, in float64."""
    x = torch.rand(60, 4, generator=rng, dtype=torch.float64)
    return x, torch.rand(45, 4, generator=rng, dtype=torch.float64) + 0.2


def plan_of(found, x, y):
    """The plan that its potentials stand for."""
    f, g = found.source_potential.numpy(), found.reference_potential.numpy()
    cost = torch.cdist(x, y).square().numpy()
    return np.exp((f[:, None] + g - cost) / EPS) / cost.size, cost


def divergence(masses, wanted):
    """Kullback-Leibler, of positive masses that need not sum to one."""
    return float((masses * np.log(masses / wanted) - masses + wanted).sum())


@pytest.mark.parametrize(("marginal", "rho"), CASES)
def test_plans_agree_with_pot(patches, marginal, rho):
    x, y = patches
    plan, cost = plan_of(patch_transport(x, y, eps=EPS, rho=rho, marginal=marginal, **EXACT), x, y)
    a, b = np.full(60, 1 / 60), np.full(45, 1 / 45)
    if marginal == "balanced":
        other = ot.sinkhorn(a, b, cost, EPS, "sinkhorn_log", numItermax=20_000, stopThr=1e-14)
    else:
        given = (math.inf, rho) if marginal == "semi" else rho
        other = ot.unbalanced.sinkhorn_unbalanced(
            a, b, cost, EPS, given, reg_type="kl", numItermax=20_000, stopThr=1e-14
        )
    np.testing.assert_allclose(plan, other, rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize(("marginal", "rho"), CASES)
def test_the_value_is_the_minimum_of_the_primal_objective(patches, marginal, rho):
    x, y = patches
    found = patch_transport(x, y, eps=EPS, rho=rho, marginal=marginal, **EXACT)
    plan, cost = plan_of(found, x, y)
    primal = (plan * cost).sum() + EPS * divergence(plan, np.full(plan.shape, 1 / plan.size))
    if marginal != "balanced":
        primal += rho * divergence(plan.sum(0), np.full(45, 1 / 45))
    if marginal == "unbalanced":
        primal += rho * divergence(plan.sum(1), np.full(60, 1 / 60))
    assert found.value == pytest.approx(primal, rel=1e-10)


@pytest.mark.parametrize(("marginal", "rho"), CASES)
def test_the_gradient_of_the_value_points_from_the_barycentres(patches, marginal, rho):
    x, y = patches
    options = {"eps": EPS, "rho": rho, "marginal": marginal, **EXACT}
    found = patch_transport(x, y, **options)
    gradient = 2 / 60 * found.mass[:, None] * (x - found.barycentres)
    step = torch.zeros_like(x)
    step[3, 1] = 1e-5
    values = [patch_transport(x + sign * step, y, **options).value for sign in (1, -1)]
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient[3, 1]), rel=1e-6)


def test_the_value_after_few_alternations_is_below_the_minimum(patches):
    values = [
        patch_transport(*patches, eps=EPS, rho=0.3, alternations=n, tolerance=0.0).value
        for n in (1, 2, 5, 500)
    ]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_one_alternation_is_done_at_least(patches):
    none, one = (patch_transport(*patches, eps=EPS, rho=0.3, alternations=n) for n in (0, 1))
    assert none.value == one.value
    assert torch.equal(none.barycentres, one.barycentres)


def test_barycentres_are_those_of_the_last_potentials_wherever_it_ends(patches):
    """They are had with the last alternation, which is not known before where an error ends it."""
    ended = patch_transport(*patches, eps=EPS, rho=0.3, alternations=500, tolerance=1e-2)
    again = patch_transport(
        *patches, eps=EPS, rho=0.3, alternations=1, start=ended.source_potential, tolerance=0.0
    )
    assert ended.marginal_error <= 1e-2
    x, y = patches
    cost = torch.cdist(x, y).square()
    weights = ((ended.reference_potential - cost) / EPS).softmax(dim=1)
    torch.testing.assert_close(ended.barycentres, weights @ y)
    assert again.value >= ended.value


def test_a_marginal_that_may_hardly_give_is_kept(patches):
    balanced = patch_transport(*patches, eps=EPS, marginal="balanced", **EXACT)
    semi = patch_transport(*patches, eps=EPS, rho=1e9, **EXACT)
    torch.testing.assert_close(semi.barycentres, balanced.barycentres, rtol=0, atol=1e-7)
    assert semi.value == pytest.approx(balanced.value, rel=1e-7)


def test_a_reference_that_nobody_needs_is_left_alone_by_the_semi_marginal_only(rng):
    x = torch.rand(80, 3, generator=rng)
    outlier = torch.full((1, 3), 4.0)
    y = torch.cat([x[:40], outlier])
    moved = {
        marginal: patch_transport(x, y, eps=0.01, rho=0.05, marginal=marginal, alternations=300)
        for marginal in ("balanced", "semi")
    }
    assert float(moved["balanced"].barycentres.max()) > 2
    assert float(moved["semi"].barycentres.max()) < 1.05


@pytest.mark.parametrize("kept", [0, 10_000])
@pytest.mark.parametrize("numbers", [45, 1000, 4_000_000])
def test_the_size_of_blocks_changes_nothing(patches, monkeypatch, numbers, kept):
    whole = patch_transport(*patches, eps=EPS, rho=0.3)
    monkeypatch.setattr(sinkhorn, "_BLOCK", numbers)
    monkeypatch.setattr(sinkhorn, "_KEPT", kept)
    blocks = patch_transport(*patches, eps=EPS, rho=0.3)
    torch.testing.assert_close(blocks.barycentres, whole.barycentres)
    assert blocks.value == pytest.approx(whole.value, rel=1e-12)


def test_a_faint_column_is_what_float64_says(rng):
    """The reference is so far from x that its columns are below the least of float32."""
    x = torch.rand(30, 4, generator=rng)
    y = torch.cat([x[:10] + 0.01, torch.rand(10, 4, generator=rng) + 3])
    options = {"eps": 0.01, "rho": 0.5, "alternations": 20, "tolerance": 0.0}
    single = patch_transport(x, y, **options)
    double = patch_transport(x.double(), y.double(), **options)
    assert bool(torch.isfinite(single.reference_potential).all())
    # exponents of up to 5e3 have a rounding of 1e-3 in float32, which is 1e-5 of ε
    torch.testing.assert_close(
        single.reference_potential.double(), double.reference_potential, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(single.barycentres.double(), double.barycentres, rtol=0, atol=1e-3)


def test_far_from_the_origin_is_as_good_as_at_it(patches):
    near = [part.float() for part in patches]
    far = [part + 1000 for part in near]
    moved = [patch_transport(*pair, eps=EPS, rho=0.3).barycentres for pair in (near, far)]
    # float32 holds 1000 + x to 6e-5
    torch.testing.assert_close(moved[1] - 1000, moved[0], rtol=0, atol=1e-3)


def test_going_on_from_a_potential_is_nearer_to_the_end_than_beginning(patches):
    options = {"eps": EPS, "rho": 0.3, "alternations": 3, "tolerance": 0.0}
    first = patch_transport(*patches, **options)
    second = patch_transport(*patches, start=first.source_potential, **options)
    assert second.marginal_error < first.marginal_error / 2
    assert second.value > first.value


def test_small_regularisation_pairs_patches_with_themselves(patches):
    x, _ = patches
    shuffled = x[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
    found = patch_transport(x, shuffled, eps=1e-4, rho=1.0, alternations=500)
    torch.testing.assert_close(found.barycentres, x, rtol=0, atol=1e-3)


def test_what_is_held_does_not_grow_with_the_sets():
    sides = (torch.zeros(63_001, 1), torch.zeros(10_000, 1))
    problem = sinkhorn._Problem(*sides, EPS, math.inf, 0.3).keeping()
    assert not problem.products
    assert max(rows.stop - rows.start for rows in problem.slices()) * 10_000 <= sinkhorn._BLOCK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"eps": math.nan}, "eps must be positive"),
        ({"rho": -1.0}, r"rho must be positive, got -1\.0"),
        ({"y": torch.zeros(0, 4)}, "at least one a side, got 60 and 0"),
        ({"y": torch.full((5, 4), torch.inf)}, "must be finite"),
    ],
)
def test_what_has_no_transport_is_refused(patches, change, message):
    x, y = patches
    with pytest.raises(ValueError, match=message):
        patch_transport(**({"x": x, "y": y, "eps": EPS, "rho": 0.3} | change))


@pytest.mark.parametrize("change", [{"y": torch.zeros(5, 3)}, {"start": torch.zeros(7)}])
def test_sizes_that_do_not_fit_are_refused(patches, change):
    """By the function, or before it by its annotations, which tests check."""
    x, y = patches
    with pytest.raises(
        (ValueError, TypeCheckError),
        match=r"'y'|'start'|got 4 and 3 values|each of 60 patches, got 7",
    ):
        patch_transport(**({"x": x, "y": y, "eps": EPS, "rho": 0.3} | change))
