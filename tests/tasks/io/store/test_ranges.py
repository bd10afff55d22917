"""Pieces of a remote file: few requests, one of them ahead, and never too much at once."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.io.store import Slice, ranges
from tasks.io.store.ranges import Chunks, fetch_ahead, spans


def reader(data, asked=None):
    def fetch(start, end):
        if asked is not None:
            asked.append((start, end))
        return data[start:end]

    return fetch


slices = st.lists(st.builds(Slice, st.integers(0, 1 << 24), st.integers(0, 1 << 20)), max_size=30)


@given(slices)
def test_every_slice_is_in_one_span_in_order(asked):
    assert [piece for group in spans(asked) for piece in group] == asked


@given(slices)
def test_no_span_is_larger_than_the_limit_unless_one_slice_is(asked):
    for group in spans(asked):
        end = max(piece.offset + piece.size for piece in group)
        assert end - group[0].offset <= ranges.SPAN_BYTES or len(group) == 1


def test_neighbours_come_together_and_distant_slices_do_not():
    near, far = Slice(100, 50), Slice(150 + ranges._GAP_BYTES + 1, 10)
    assert list(spans([Slice(0, 50), near, far])) == [[Slice(0, 50), near], [far]]


def test_slices_out_of_order_are_asked_for_one_by_one():
    backward = [Slice(1000, 10), Slice(0, 10)]
    assert list(spans(backward)) == [[Slice(1000, 10)], [Slice(0, 10)]]


def test_the_bytes_of_every_span_are_those_of_the_file():
    data, asked = bytes(range(256)), []
    groups = [[Slice(0, 10), Slice(10, 5)], [Slice(100, 3)], [Slice(50, 0)]]
    read = list(fetch_ahead(reader(data, asked), groups))
    assert [span.data for span in read] == [data[:15], data[100:103], b""]
    assert asked == [(0, 15), (100, 103)]


def test_one_span_is_fetched_ahead_and_no_more():
    asked, second = [], threading.Event()

    def fetch(start, end):
        asked.append(start)
        if start == 1:
            second.set()
        return bytes(end - start)

    groups = ([Slice(number, 1)] for number in range(10))
    pending = fetch_ahead(fetch, groups)
    next(pending)
    assert second.wait(10)
    assert asked == [0, 1]
    pending.close()
    assert asked == [0, 1]


def test_an_error_of_a_fetch_comes_to_the_reader_and_ends_the_thread():
    def fetch(start, _end):
        if start:
            raise OSError("gone")
        return b"1"

    pending = fetch_ahead(fetch, [[Slice(0, 1)], [Slice(1, 1)]])
    assert next(pending).data == b"1"
    with pytest.raises(OSError, match="gone"):
        next(pending)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ranges")]


def test_chunks_read_like_one_file():
    stream = Chunks(iter([b"abc", b"", b"defg"]))
    assert stream.readable()
    assert [stream.read(2), stream.read(5), stream.read(9), stream.read(1)] == [
        b"ab",
        b"c",
        b"defg",
        b"",
    ]
