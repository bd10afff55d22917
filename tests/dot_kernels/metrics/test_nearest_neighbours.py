"""Precision and recall against torch-fidelity, SciPy and closed forms."""

import pytest
import scipy.spatial
from torch_fidelity.metric_prc import prc_features_to_metric

from dot_kernels.metrics import precision_recall


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_are_those_of_torch_fidelity(draw_features, neighbours):
    a, b = draw_features(80), 0.6 * draw_features(110, shift=0.4)
    expected = prc_features_to_metric(
        a, b, prc_neighborhood=neighbours, prc_batch_size=10, save_cpu_ram=False, verbose=False
    )
    precision, recall = precision_recall(a, b, neighbours=neighbours)
    assert (precision, recall) == (expected["precision"], expected["recall"])
    assert 0 < precision < recall  # so that the two cannot be mixed up


def test_precision_and_recall_are_the_shares_within_reach(draw_features):
    a, b = draw_features(50), draw_features(70, shift=0.8)

    def share(points, centres):
        reach = scipy.spatial.distance.cdist(centres, centres)
        reach.sort(axis=1)
        return (scipy.spatial.distance.cdist(points, centres) <= reach[:, 3]).any(axis=1).mean()

    expected = share(a, b), share(b, a)
    assert precision_recall(a, b) == pytest.approx(expected)
    assert precision_recall(b, a) == pytest.approx(expected[::-1])


def test_precision_and_recall_are_one_for_equal_sets(draw_features):
    features = draw_features(40, shift=10.0)
    assert precision_recall(features, features.flip(0)) == (1, 1)


def test_precision_and_recall_are_zero_for_sets_far_apart(draw_features):
    assert precision_recall(draw_features(40), draw_features(40, shift=1e3)) == (0, 0)


@pytest.mark.parametrize(("n", "m"), [(3, 50), (50, 3), (0, 50)])
def test_precision_and_recall_are_unknown_without_a_third_neighbour(draw_features, n, m):
    assert precision_recall(draw_features(n), draw_features(m)) is None
    assert precision_recall(draw_features(4), draw_features(4)) is not None
