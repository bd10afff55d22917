"""The worst and the best images by each metric."""

import pytest

from tasks.report.pictures.worst_and_best import (
    SHOWN,
    Ends,
    Extreme,
    _Ends,
    find_extremes,
    signal_to_rank,
)


def rows(values):
    return [Extreme(f"{number:03d}", "shard-000000", v) for number, v in enumerate(values)]


def ends(found, *, more=True, cut=None):
    kept = _Ends(more_is_better=more)
    for start in range(0, len(found), cut or len(found)):
        kept.add(found[start : start + (cut or len(found))])
    return kept.ends("psnr")


@pytest.mark.parametrize("cut", [1, 2, 7, 100])
def test_the_ends_do_not_depend_on_sharding(cut):
    values = [float(i * 37 % 50) for i in range(50)]
    whole = ends(rows(values))
    assert ends(rows(values), cut=cut) == whole
    assert [e.value for e in whole.worst] == [0.0, 1.0, 2.0]
    assert [e.value for e in whole.best] == [49.0, 48.0, 47.0]


def test_less_is_better_for_distances():
    found = ends(rows([3.0, 1.0, 2.0, 9.0, 8.0, 7.0]), more=False)
    assert [e.value for e in found.best] == [1.0, 2.0, 3.0]
    assert [e.value for e in found.worst] == [9.0, 8.0, 7.0]


def test_equal_values_are_in_the_order_of_keys():
    assert [e.key for e in ends(rows([1.0] * 9)).best] == ["000", "001", "002"]


@pytest.mark.parametrize(("count", "worst", "best"), [(1, 0, 1), (2, 1, 1), (5, 2, 3), (6, 3, 3)])
def test_of_few_images_none_is_both_best_and_worst(count, worst, best):
    found = ends(rows([float(i) for i in range(count)]))
    assert (len(found.worst), len(found.best)) == (worst, best)
    assert not {e.key for e in found.worst} & {e.key for e in found.best}


def test_no_more_than_the_ends_are_kept():
    kept = _Ends(more_is_better=True)
    for _ in range(5):
        kept.add(rows([float(i) for i in range(100)]))
        assert max(len(kept._worst), len(kept._best)) == SHOWN


def test_the_ends_of_a_run_are_in_its_tables(finished):
    assert signal_to_rank(finished.config).label == "alpha 0"
    found = find_extremes(finished.fitted)
    assert [end.metric for end in found] == ["psnr", "ssim"]  # no LPIPS was asked for
    for end in found:
        assert isinstance(end, Ends)
        assert min(e.value for e in end.best) >= max(e.value for e in end.worst)
        shards = dict(finished.workspace.keys("run"))
        assert all(shards[e.key] == e.shard for e in (*end.best, *end.worst))


def test_the_written_alpha_nearest_to_zero_is_ranked(steps):
    config = steps("/nowhere", {"restored": "/r", "natural": "/n"}, enhance={"alphas": [1, -0.25]})
    assert signal_to_rank(config.config).alpha == -0.25
