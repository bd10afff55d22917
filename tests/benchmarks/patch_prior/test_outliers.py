"""What each marginal does with the outliers of a reference: one minute of one core."""

import pytest
from outliers_picture import MARGINALS, OUTLIERS, distance, moved, scene


@pytest.fixture(scope="module")
def given():
    return scene()


@pytest.fixture(scope="module")
def outcomes(given):
    return {name: moved(given, name) for name in MARGINALS}


def test_the_balanced_transport_takes_all_outliers_over(outcomes):
    # a quarter is found, not a fifth: at such an ε alternations have a way to go after 300
    assert outcomes["balanced"].share == pytest.approx(OUTLIERS, abs=0.1)


def test_the_semi_marginal_leaves_outliers_unused_and_mends_the_image(given, outcomes):
    assert outcomes["semi"].share < 0.01
    assert outcomes["semi"].distance < 0.6 * distance(given.damaged, given)


def test_the_unbalanced_transport_leaves_alone_what_no_patch_of_the_reference_is_like(
    given, outcomes
):
    square = (slice(None), slice(45, 55), slice(45, 55))
    kept = (outcomes["unbalanced"].image - given.damaged)[square].abs().max()
    assert float(kept) < 0.02
    assert float((outcomes["semi"].image - given.texture)[square].abs().mean()) < 0.1
