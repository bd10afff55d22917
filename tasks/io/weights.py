"""Files of weights: where they are, what they are, and devices to run them on."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock

import torch

from tasks.io.errors import ConfigurationError, WeightsMissing

LOADING = Lock()
"""Held while a network is loaded, or threads that want the same one would each load it."""


def pick_device(name: str) -> str:
    """The device that ``auto`` stands for, or the named one.

    Raises:
        ConfigurationError: it is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        number = int(name.partition(":")[2] or 0)
        if number >= torch.cuda.device_count():
            raise ConfigurationError(
                f"compute.device must be there, got {name!r} with {torch.cuda.device_count()} "
                "CUDA devices visible; use 'cpu' or 'auto'"
            )
    return name


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 in convolutions: its ten bits are too few for a map with gains of tens.

    A network in bfloat16 is not affected.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def require_file(file: Path, remedy: str) -> Path:
    """The file, which must be there.

    Raises:
        WeightsMissing: it is not.
    """
    if not file.is_file():
        raise WeightsMissing(f"{file} must hold weights, but is not there; {remedy}")
    return file


def require_digest(file: Path, expected: str | None, field: str) -> str:
    """The sha256 of a file, which must be the expected one where there is one.

    Raises:
        WeightsMissing: it is another one.
    """
    found = digest(file)
    if expected not in (None, found):
        raise WeightsMissing(
            f"{file} must have the sha256 {expected}, got {found}; fetch it again, or change "
            f"{field} if the new file is meant"
        )
    return found


def digest(file: Path) -> str:
    """The sha256 of a file; computed once while the file does not change."""
    info = file.stat()
    return _digest(file, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
