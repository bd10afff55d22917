"""The same process as a user who is not root, for tests of rights."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def as_other_user() -> Iterator[None]:
    """Read and write in the block with the rights of nobody; a user other than root stays."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
