"""Python's garbage collector, kept from going through values of which there are very many."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch Python's garbage collector for cycles off while the block runs.

    A plan of a large data set is hundreds of thousands of small values without cycles, and
    going through all of them again and again takes a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
