"""Digests of files of weights, and checks that a file or network is the one that is meant."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.io.errors import WeightsMissing


def require_file(file: Path, remedy: str) -> Path:
    """Return the path of a file that must be there.

    Args:
        file: its path.
        remedy: what the user can do; ends the sentence of the error.

    Raises:
        WeightsMissing: there is no such file.
    """
    if not file.is_file():
        raise WeightsMissing(f"{file} must hold weights, but is not there; {remedy}")
    return file


def require_digest(file: Path, expected: str | None, field: str) -> None:
    """Check that a file has the expected sha256.

    Args:
        file: its path.
        expected: 64 hex digits; None accepts any file.
        field: of the configuration, which says what is expected.

    Raises:
        WeightsMissing: it has another one.
    """
    found = digest(file)
    if expected not in (None, found):
        raise WeightsMissing(
            f"{file} must have the sha256 {expected}, got {found}; fetch it again, or change "
            f"{field} if the new file is meant"
        )


def require_identity(found: dict[str, str] | None, planned: dict[str, str] | None) -> None:
    """Check that a worker has the network that the plan was made with.

    Args:
        found: the network's identity on this machine, None if its weights are not here.
        planned: the identity in the job.

    Raises:
        WeightsMissing: this machine has other weights, or none.
    """
    if found != planned:
        raise WeightsMissing(
            f"this machine must have the network {planned} that the plan was made with, got "
            f"{found}; give all machines the same weights, as by `dotpipe weights pull`, and the "
            "same packages"
        )


def weights_in_words(identity: Mapping[str, Any]) -> str:
    """Return which weights a network has, from its identity: by their commit or their digest."""
    if "revision" in identity:
        return f"{identity['model']} at revision {identity['revision']}"
    digests = identity["sha256"]
    return f"weights with sha256 {digests if isinstance(digests, str) else digests[-1]}"


def digest(file: Path) -> str:
    """Return a file's sha256 in hex digits; it is computed once while the file does not change."""
    info = file.stat()
    return _digest(file, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
