"""An answer that breaks off is asked for again, a few times and not for ever."""

from http.client import IncompleteRead

import pytest

from tasks.io.store import transfers
from tasks.io.store.transfers import repeated


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses, which are not made."""
    made = []
    monkeypatch.setattr(transfers.time, "sleep", made.append)
    return made


def failing(times, error):
    calls = []

    def read():
        calls.append(None)
        if len(calls) <= times:
            raise error
        return b"whole"

    return read, calls


def test_reading_is_repeated_with_growing_pauses(pauses):
    read, calls = failing(4, IncompleteRead(b"half"))
    assert repeated(read) == b"whole"
    assert len(calls) == 5
    assert pauses == sorted(set(pauses))


def test_after_five_times_the_error_is_told():
    read, calls = failing(9, IncompleteRead(b"half"))
    with pytest.raises(IncompleteRead):
        repeated(read)
    assert len(calls) == 5


def test_an_error_that_came_late_is_the_last(monkeypatch, pauses):
    monkeypatch.setattr(transfers, "_PATIENCE_S", -1.0)
    read, calls = failing(9, IncompleteRead(b"half"))
    with pytest.raises(IncompleteRead):
        repeated(read)
    assert (len(calls), pauses) == (1, [])


def test_other_errors_are_not_repeated(pauses):
    read, calls = failing(9, FileNotFoundError())
    with pytest.raises(FileNotFoundError):
        repeated(read)
    assert (len(calls), pauses) == (1, [])
