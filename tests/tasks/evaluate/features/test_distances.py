"""Distances of features as columns: CMMD where CLIP gave the features, and nowhere else."""

import pytest
import torch

from dot_kernels.metrics import FeatureStatistics, gaussian_discrepancy, monge_distance
from tasks.evaluate.features.distances import distances_between, distances_to_second


@pytest.fixture
def sets(rng):
    """Features of two sets, rows in an order of chance, and the rows in the order of draws."""
    draws = torch.randperm(30, generator=rng)
    features = torch.randn(2, 30, 4, generator=rng)
    whole = [FeatureStatistics.of(each, draws, capacity=100) for each in features]
    return whole, [each[draws.argsort()] for each in features]


def test_distances_of_the_sample_are_the_kernels_in_the_order_of_draws(sets):
    (images, reference), (ours, theirs) = sets
    row = distances_between(images, reference, None, of_clip=True)
    assert row["mind"] == monge_distance(ours, theirs)
    assert row["cmmd"] == pytest.approx(gaussian_discrepancy(ours, theirs), rel=1e-9)
    second = distances_to_second(images, reference, None, of_clip=True)
    assert second["cmmd_second"] == row["cmmd"]


def test_features_of_other_networks_than_clip_have_no_cmmd(sets):
    (images, reference), _ = sets
    assert "cmmd" not in distances_between(images, reference, None, of_clip=False)
