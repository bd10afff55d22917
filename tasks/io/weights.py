"""Files of weights: where they are, what they are, and devices to run them on."""

import hashlib
from functools import lru_cache
from pathlib import Path

import torch

from tasks.io.errors import ConfigurationError, WeightsMissing


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
