"""What people prefer: intervals and scales, each derived a second time."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.stats import binomtest

from tasks.view.preferences import PRIOR_SD, Z, preferences, strengths, wilson
from tasks.view.votes import Vote

ORDER = ["+0.00", "+0.50", "input"]


def vote(winner, loser, key="a", voter="Ada", number=0, *, same=False, turned=False):
    left, right = (loser, winner) if turned else (winner, loser)
    choice = "same" if same else "right" if turned else "left"
    now = datetime(2026, 11, 29, tzinfo=UTC)
    ends = (left, right, "l", "r")
    return Vote(f"{key}{number}{choice}", now, voter, key, "shard-000000", *ends, choice, 1.0)


def votes_of(wins, losses, neither=0, first="+0.00", second="+0.50"):
    """Votes on one pair, each on an image of its own, the first on alternating sides."""
    pairs = [(first, second)] * wins + [(second, first)] * losses + [(first, second)] * neither
    return [
        vote(*pair, key=str(n), same=n >= wins + losses, turned=bool(n % 2))
        for n, pair in enumerate(pairs)
    ]


def counted(rng, chances, images, votes):
    """Votes for the first of two, each image having a chance of its own."""
    return [
        vote(*(("+0.00", "+0.50") if rng.random() < chances[i] else ("+0.50", "+0.00")), key=str(i))
        for i in range(images)
        for _ in range(votes)
    ]


@pytest.mark.parametrize(("wins", "count"), [(0, 1), (1, 1), (8, 10), (0, 30), (50, 100)])
def test_the_interval_is_that_of_scipy(wins, count):
    expected = binomtest(wins, count).proportion_ci(method="wilson")
    assert wilson(wins / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_ends_of_the_interval_are_the_shares_that_the_score_test_just_rejects():
    share, count = 0.62, 37.5  # a design effect leaves no whole number of votes

    def excess(chance):
        return (share - chance) ** 2 - Z**2 * chance * (1 - chance) / count

    expected = brentq(excess, 1e-9, share), brentq(excess, share, 1 - 1e-9)
    assert wilson(share, count) == pytest.approx(expected, abs=1e-9)


def test_a_pair_is_counted_whatever_side_its_versions_were_on():
    (pair,) = preferences(votes_of(7, 2, 1), ORDER)
    assert (pair.first, pair.second) == ("+0.00", "+0.50")
    assert (pair.first_wins, pair.second_wins, pair.same) == (7, 2, 1)
    assert (pair.share, pair.images, pair.voters) == (0.75, 10, 1)
    assert (pair.low, pair.high) == wilson(0.75, 10)


def test_votes_on_images_of_their_own_count_in_full():
    (pair,) = preferences(votes_of(12, 8), ORDER)
    assert pair.effective == pytest.approx(20)


def test_votes_that_repeat_an_image_count_as_one():
    once = votes_of(12, 8)
    (pair,) = preferences(once * 5, ORDER)
    (single,) = preferences(once, ORDER)
    assert pair.effective == pytest.approx(20 * (19 / 20) / (99 / 100))  # degrees of freedom
    assert (pair.low, pair.high) == pytest.approx((single.low, single.high), abs=0.005)


def test_agreement_of_all_is_no_more_than_the_images_that_it_is_on():
    (pair,) = preferences([vote("+0.00", "+0.50", number=n) for n in range(50)], ORDER)
    assert pair.effective == 1
    assert pair.low < 0.5


@pytest.mark.parametrize("votes", [1, 6])
def test_nineteen_of_twenty_intervals_hold_the_truth(votes):
    rng, truth, inside, images = np.random.default_rng(1), 0.7, 0, 40
    for _ in range(600):
        chances = rng.beta(1.4, 0.6, images)  # images on which people agree, mean 0.7
        (pair,) = preferences(counted(rng, chances, images, votes), ORDER)
        inside += pair.low <= truth <= pair.high
    assert 0.925 < inside / 600 <= 0.975  # 4 standard errors of 0.95 are 0.036


def test_two_versions_on_the_scale_are_as_far_apart_as_their_odds():
    found = {s.name: s for s in strengths(votes_of(300, 100))}
    apart = math.log(found["+0.00"].share / (1 - found["+0.00"].share)) * 2
    assert apart == pytest.approx(math.log(3), abs=0.01)  # the prior draws by 0.4 %
    low = math.log(found["+0.00"].low / (1 - found["+0.00"].low)) * 2
    error = math.sqrt(1 / 300 + 1 / 100)  # of the logarithm of odds
    assert (apart - low) / Z == pytest.approx(error, rel=0.02)


def test_the_scale_is_the_top_of_its_likelihood():
    rng, names, votes = np.random.default_rng(3), ["a", "b", "c", "d"], []
    for n in range(200):
        left, right = rng.choice(4, 2, replace=False)
        wins = rng.random() < 1 / (1 + math.exp(0.5 * (right - left) * -1))
        pair = (names[left], names[right]) if wins else (names[right], names[left])
        votes.append(vote(*pair, key=str(n), same=n % 9 == 0, turned=n % 2 == 1))

    def loss(theta):
        total = (theta**2).sum() / (2 * PRIOR_SD**2)
        for each in votes:
            apart = theta[names.index(each.left)] - theta[names.index(each.right)]
            score = {"left": 1, "right": 0, "same": 0.5}[each.choice]
            total += np.logaddexp(0, apart) - score * apart
        return total

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    found = {s.name: s.share for s in strengths(votes)}
    expected = {name: 1 / (1 + math.exp(-theta)) for name, theta in zip(names, best, strict=True)}
    assert found == pytest.approx(expected, abs=1e-5)
    assert [s.name for s in strengths(votes)] == sorted(names, key=lambda n: -expected[n])


def test_a_version_that_won_all_its_votes_is_not_infinitely_good():
    best, worst = strengths(votes_of(30, 0))
    assert (best.name, best.votes) == ("+0.00", 30)
    assert 0.5 < best.low < best.share < best.high < 1
    assert worst.share == pytest.approx(1 - best.share)


def test_the_scale_is_wider_where_votes_repeat_images():
    once = votes_of(60, 40)
    (single, _), (repeated, _) = strengths(once), strengths(once * 8)
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.05)


def test_nobody_has_preferred_anything_without_votes():
    assert preferences([], ORDER) == []
    assert strengths([]) == []
