"""Comparisons: blind, balanced, and none twice for one person."""

from collections import Counter

import pytest

from tasks.io.errors import ConfigurationError
from tasks.io.store import Store
from tasks.view.sheet import Sheet
from tasks.view.trials import Trials, voter_named
from tasks.view.votes import Votes

THREE = ["+0.00", "+0.50", "input"]


@pytest.fixture
def votes(tmp_path):
    return Votes(Store(str(tmp_path)), "run", "0123")


@pytest.fixture
def trials(viewed, votes):
    return Trials(viewed, Sheet(viewed), votes)


def vote_on_all(trials, voter="Ada", names=THREE):
    cast = []
    while (trial := trials.draw(voter, names)) is not None:
        trials.take(trial.id, "left", 1.0)
        cast.append(trial)
        assert len(cast) <= 100
    return cast


def test_a_person_sees_every_image_once_in_every_pair_and_then_no_more(trials):
    cast = vote_on_all(trials)
    seen = Counter((trial.key, frozenset((trial.left, trial.right))) for trial in cast)
    assert len(seen) == 8 * 3
    assert set(seen.values()) == {1}
    assert trials.cast("Ada") == 24
    assert trials.cast("Emmy") == 0


def test_pairs_take_turns(trials):
    counts = Counter()
    for number in range(12):
        trial = trials.draw("Ada", THREE)
        counts[frozenset((trial.left, trial.right))] += 1
        trials.take(trial.id, "same", None)
        assert max(counts.values()) - min(counts.values()) <= 1 or number < 2
    assert set(counts.values()) == {4}


def test_sides_and_images_are_drawn_evenly(trials):
    drawn = [trials.draw("Ada", ["+0.00", "input"]) for _ in range(600)]
    left = sum(trial.left == "input" for trial in drawn)
    assert abs(left - 300) < 5 * (600 / 4) ** 0.5
    images = Counter(trial.key for trial in drawn)
    assert len(images) == 8
    assert max(images.values()) - 75 < 5 * 75**0.5


def test_who_comes_back_goes_on_where_they_stopped(viewed, votes, trials):
    for _ in range(5):
        trials.take(trials.draw("Ada", THREE).id, "right", 1.0)
    later = Trials(viewed, Sheet(viewed), votes)
    assert later.cast("Ada") == 5
    assert len(vote_on_all(later)) == 19
    assert len(votes.all()) == 24


def test_a_vote_tells_what_was_on_which_side(trials, votes):
    trial = trials.draw("Ada", THREE)
    trials.take(trial.id, "right", 2.5)
    (vote,) = votes.all()
    assert (vote.left, vote.right, vote.choice) == (trial.left, trial.right, "right")
    assert (vote.key, vote.shard, vote.voter, vote.seconds) == (trial.key, trial.shard, "Ada", 2.5)
    assert vote.left_sha256 == trial.left_member.sha256 != vote.right_sha256


def test_a_vote_whose_answer_was_lost_can_be_sent_again(trials, votes):
    trial = trials.draw("Ada", THREE)
    assert [trials.take(trial.id, "left", 1.0) for _ in range(3)] == [1, 1, 1]
    assert len(votes.all()) == 1


def test_a_vote_that_was_not_stored_does_not_count(trials, votes, monkeypatch):
    trial = trials.draw("Ada", THREE)
    with monkeypatch.context() as patch:
        patch.setattr(Votes, "add", lambda *_: (_ for _ in ()).throw(OSError("away")))
        with pytest.raises(OSError, match="away"):
            trials.take(trial.id, "left", 1.0)
    assert trials.cast("Ada") == 0
    assert trials.take(trial.id, "left", 1.0) == 1


def test_versions_that_are_one_file_are_not_compared(viewed, trials, monkeypatch):
    from tasks.view import trials as module

    known = module.members
    monkeypatch.setattr(
        module, "members", lambda v, version, shard: known(v, viewed.version("input"), shard)
    )
    assert trials.draw("Ada", THREE) is None


def test_old_comparisons_are_let_go(trials, monkeypatch):
    monkeypatch.setattr("tasks.view.trials.MOST_OPEN", 2)
    first, *_, last = [trials.draw("Ada", THREE) for _ in range(3)]
    assert trials.open(last.id) == last
    with pytest.raises(ConfigurationError, match="take a new one"):
        trials.open(first.id)


@pytest.mark.parametrize("names", [[], ["input"], ["input", "+0.33"], ["input", "+1.00"]])
def test_at_least_two_versions_that_differ_are_compared(trials, names):
    with pytest.raises(ConfigurationError, match="a comparison must be of at least two of"):
        trials.draw("Ada", names)


def test_a_name_is_text_that_can_be_shown():
    assert voter_named("  Ada   Lovelace\n") == "Ada Lovelace"
    assert voter_named("日本 é") == "日本 é"
    for name in ("", "  ", "a" * 81, "a\x00b", "a\u202eb"):
        with pytest.raises(ConfigurationError, match="a voter's name must have 1 to 80"):
            voter_named(name)
