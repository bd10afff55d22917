"""Digests of files, computed once while a file does not change."""

import hashlib
from functools import lru_cache
from pathlib import Path

from tasks.io.errors import WeightsMissing


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


def require_identity(found: dict[str, str] | None, planned: dict[str, str] | None) -> None:
    """Check that a worker has the network that its plan was made with.

    Raises:
        WeightsMissing: it has another, or none.
    """
    if found != planned:
        raise WeightsMissing(
            f"this machine must have the network {planned} that the plan was made with, got "
            f"{found}; give all machines the same weights, as by `dotpipe weights pull`"
        )


def digest(file: Path) -> str:
    """The sha256 of a file; computed once while the file does not change."""
    info = file.stat()
    return _digest(file, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
