import numpy as np
import ot
import pytest
import torch
from jaxtyping import TypeCheckError

from dot_kernels import semi_dual
from dot_kernels.semi_dual import nearest_transport


@pytest.fixture
def patches(rng):
    """Ninety patches and a reference of 45 that lie a little apart, in float64."""
    x = torch.rand(90, 4, generator=rng, dtype=torch.float64)
    return x, torch.rand(45, 4, generator=rng, dtype=torch.float64) + 0.2


def test_the_value_climbs_to_the_cost_of_the_optimal_transport(patches):
    x, y = patches
    cost = torch.cdist(x, y).square().numpy()
    optimum = ot.emd2(np.full(90, 1 / 90), np.full(45, 1 / 45), cost)
    values = [nearest_transport(x, y, ascents=k).value for k in (1, 10, 3000)]
    assert values == sorted(values)
    assert values[-1] <= optimum + 1e-12
    assert values[-1] == pytest.approx(optimum, rel=0.01)  # steps of 1/√k are slow


def test_without_ascents_each_patch_goes_to_the_nearest(patches):
    x, y = patches
    found = nearest_transport(x, y, ascents=0)
    expected = torch.cdist(x, y).min(dim=1)
    torch.testing.assert_close(found.nearest, y[expected.indices])
    assert found.value == pytest.approx(float(expected.values.square().mean()))
    received = torch.bincount(expected.indices, minlength=45) / 90
    assert found.marginal_error == pytest.approx(float((received - 1 / 45).abs().sum()))


def test_going_on_from_a_potential_is_nearer_to_the_end(patches):
    first = nearest_transport(*patches, ascents=20)
    second = nearest_transport(*patches, start=first.reference_potential, ascents=20)
    assert second.value > first.value
    assert second.marginal_error < first.marginal_error


def test_the_size_of_blocks_changes_nothing(patches, monkeypatch):
    whole = nearest_transport(*patches)
    monkeypatch.setattr(semi_dual, "_BLOCK", 100)
    blocks = nearest_transport(*patches)
    torch.testing.assert_close(blocks.nearest, whole.nearest)
    assert blocks.value == pytest.approx(whole.value, rel=1e-12)


@pytest.mark.parametrize(
    "change", [{"y": torch.zeros(5, 3)}, {"start": torch.zeros(7)}, {"y": torch.zeros(0, 4)}]
)
def test_sizes_that_do_not_fit_are_refused(patches, change):
    """By the function, or before it by its annotations, which tests check."""
    x, y = patches
    with pytest.raises(
        (ValueError, TypeCheckError),
        match=r"'y'|'start'|got 4 and 3 values|each of 45 patches, got 7|got 90 and 0",
    ):
        nearest_transport(**({"x": x, "y": y} | change))
