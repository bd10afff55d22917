"""The table of votes: none is lost, none counts twice, others read it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars
import pytest

from tasks.io.store import Store
from tasks.view.votes import MOST_IN_A_FILE, Vote, Votes, forget_votes, vote_schema

START = datetime(2026, 11, 29, 12, tzinfo=UTC)


def vote(number, voter="Ada", key="a/1"):
    when = START + timedelta(seconds=number)
    ends = ("+0.00", "input", "l", "r")
    return Vote(f"{voter}-{number}", when, voter, key, "shard-000000", *ends, "left", 1.5)


@pytest.fixture(params=["disk", "bucket"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(str(tmp_path / "workspace"))
    return Store(f"{request.getfixturevalue('bucket').url}/workspace")


def opened(store):
    return Votes(store, "run", "0123")


def test_votes_come_back_as_they_were_cast(store):
    votes = opened(store)
    cast = [vote(n) for n in range(3)]
    for each in reversed(cast):
        votes.add(each)
    assert opened(store).all() == cast


def test_people_who_vote_at_once_lose_no_vote(store):
    """Two on one server, and one on another that has the same workspace."""
    one, other = opened(store), opened(store)
    work = [(one, "Ada"), (one, "Emmy"), (other, "Sofia")]

    def cast(server, voter):
        for number in range(6):
            server.add(vote(number, voter))

    with ThreadPoolExecutor(3) as people:
        for done in [people.submit(cast, *each) for each in work]:
            done.result()
    assert {each.id for each in one.all()} == {f"{w}-{n}" for _, w in work for n in range(6)}


def test_a_vote_that_is_sent_again_counts_once(store):
    votes = opened(store)
    for _ in range(3):
        votes.add(vote(1))
    assert len(votes.all()) == 1


def test_a_file_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.view.votes.MOST_IN_A_FILE", 2)
    store = Store(str(tmp_path))
    votes = opened(store)
    for number in range(5):
        votes.add(vote(number))
    assert len(list(store.names(votes.folder))) == 3
    assert [each.id for each in votes.all()] == [f"Ada-{n}" for n in range(5)]
    assert MOST_IN_A_FILE == 500


def test_a_vote_is_whole_or_not_there(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    votes = opened(store)
    votes.add(vote(1))

    def broken(*_):
        raise OSError(5, "the disk is away")

    monkeypatch.setattr("tasks.view.votes.write_table", broken)
    with pytest.raises(OSError, match="away"):
        votes.add(vote(2))
    assert [each.id for each in opened(store).all()] == ["Ada-1"]


def test_other_readers_find_the_columns(tmp_path):
    votes = opened(Store(str(tmp_path)))
    votes.add(vote(1))
    table = polars.read_parquet(f"{votes.address}/*.parquet")
    assert table.columns == vote_schema().names
    assert table["choice"].to_list() == ["left"]


def test_votes_on_forgotten_images_go(store):
    votes, other = opened(store), Votes(store, "other", "4567")
    votes.add(vote(1, key="a/1"))
    votes.add(vote(2, key="a/2"))
    other.add(vote(3, key="a/1"))
    forget_votes(store, ["a/1"])
    assert [each.key for each in votes.all()] == ["a/2"]
    assert list(store.names(other.folder)) == []
    votes.add(vote(4, key="a/3"))  # and do not come back with the next vote
    assert [each.key for each in votes.all()] == ["a/2", "a/3"]
