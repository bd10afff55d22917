"""Files of a repository on the Hub: what is there, what was sent, and what a commit changes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tasks.io.errors import ArtifactDamaged


class Stored(NamedTuple):
    """A file of a repository."""

    size: int
    sha256: str | None
    """None of a small file, which the Hub keeps in Git itself."""
    blob: str
    """What Git calls the content: of the file, or of what stands in Git for a large one."""


class State(NamedTuple):
    """What a repository holds at one commit."""

    head: str | None
    """The commit; None if there is no such repository."""
    files: Mapping[str, Stored]
    """By their paths."""
    private: bool = False
    """Whether only its owners see it."""


class Sent(NamedTuple):
    """A file that the Hub has, or is to get with the commit that shows it."""

    size: int
    sha256: str
    mode: Literal["lfs", "regular"]
    """``lfs`` is sent before the commit, ``regular`` with it."""


@dataclass(frozen=True)
class Change:
    """What one commit does."""

    message: str
    sent: Mapping[str, Sent] = field(default_factory=dict)
    """Files that the Hub has already, by the paths where they are to be seen."""
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """Small files, by their paths."""
    removed: Sequence[str] = ()
    """Paths of files."""


def blob_of(data: bytes) -> str:
    r"""Return what Git calls the content of a file that it keeps itself.

    >>> blob_of(b"hello\n")
    'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def require_content(sent: Sent, size: int, sha256: str, path: str) -> None:
    """Check that what was sent is what its record tells.

    Raises:
        ArtifactDamaged: it is not.
    """
    if (sent.size, sent.sha256) != (size, sha256):
        raise ArtifactDamaged(
            f"{path} must be as it was written, but is not; run `dotpipe verify CONFIG`, then "
            "`dotpipe repair CONFIG`"
        )
