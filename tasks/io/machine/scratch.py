"""Large arrays that lie on this machine's disk instead of in its memory."""

import ctypes
import math
import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros in a file of the folder for temporary ones.

    The file has no name, and ends with the array. What was read or written lately is in memory
    as well, until ``let_go``, or until the system wants the room.

    Raises:
        OSError: the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(prefix="dotpipe-") as file:
        # Or a disk that fills up later would end this process by a signal.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "w+", shape=shape)


def let_go(array: NDArray[Any]) -> None:
    """Leave a scratch array to the disk; does nothing with any other array."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def on_disk(array: NDArray[Any]) -> NDArray[Any]:
    """Return a scratch array with the numbers of another one."""
    copy = scratch_array(array.shape, array.dtype)
    copy[...] = array
    let_go(copy)
    return copy


def return_freed_memory() -> None:
    """Return to the system what this process has freed; does nothing where none keeps it.

    The GNU C library keeps freed memory for later, which an encoder of a large image, being the
    next, would ask for beside it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
