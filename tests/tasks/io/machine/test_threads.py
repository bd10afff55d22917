"""Work side by side: in order, bounded, and stopped with its reader."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.io.machine.threads import ordered_map, side_by_side


def test_a_parallel_map_keeps_the_order_and_its_bound():
    lock, under_way, most = threading.Lock(), 0, 0

    def taken():
        nonlocal under_way, most
        for item in range(50):
            with lock:
                under_way += 1
                most = max(most, under_way)
            yield item

    with ThreadPoolExecutor(4) as pool:
        found = []
        for item in ordered_map(pool, lambda item: item * 2, taken(), ahead=6):
            with lock:
                under_way -= 1
            found.append(item)
    assert found == [item * 2 for item in range(50)]
    assert most <= 7


def test_a_parallel_map_that_is_stopped_early_does_no_more_than_was_begun():
    begun, go = [], threading.Event()

    def wait(item):
        begun.append(item)
        return item if item == 0 else go.wait(10) and item

    with ThreadPoolExecutor(2) as pool:
        found = ordered_map(pool, wait, range(100), ahead=6)
        assert next(found) == 0
        found.close()
        go.set()
    assert set(begun) <= {0, 1, 2}  # one was done, and two threads had taken the next ones


def test_an_exception_in_a_parallel_map_reaches_the_reader_after_what_came_before():
    def fail(item):
        if item == 3:
            raise OSError("gone")
        return item

    seen = []
    with ThreadPoolExecutor(2) as pool:
        found = ordered_map(pool, fail, range(100), ahead=4)
        with pytest.raises(OSError, match="gone"):
            seen.extend(found)
        assert pool.submit(fail, 1).result(10) == 1  # the pool is as good as before
    assert seen == [0, 1, 2]


def test_work_is_under_way_side_by_side_and_its_results_are_in_order():
    together = threading.Barrier(4, timeout=30)

    def meet(item):
        together.wait()
        return item * 2

    assert list(side_by_side(meet, range(8), threads=4)) == [item * 2 for item in range(8)]
    assert not [t for t in threading.enumerate() if t.name.startswith("side-by-side")]
