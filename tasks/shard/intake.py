"""What comes into a shard: files of a corpus go in, checked images or reasons come out."""

import dataclasses
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from tasks.config.corpora import Corpus
from tasks.io.errors import AccessRefused, ImageRefused, StoreRefused
from tasks.io.images import Limits
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import Accepted, Refused
from tasks.io.shards.sides import LARGEST_SIDE, Sides
from tasks.io.store import Slice, Store
from tasks.jobs.progress import advance
from tasks.shard.acceptance import accepted
from tasks.shard.image_files import SourceFile, SourceSide

UNREADABLE = "unreadable: "
"""How the reason begins for which a file is refused that is there, but cannot be read."""

_UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG}
"""Errors of both kinds are those of one file, which is refused; any others are the store's."""


def accept_files(
    source: Store, files: Sequence[SourceFile], corpus: Corpus, limits: Limits
) -> Iterator[Accepted | Refused]:
    """Yield every image file in the given order: accepted, or refused with the reason.

    Args:
        source: the folder or bucket that the paths start from.
        files: as they were listed.
        corpus: whether and how images are resized.
        limits: of the bytes and pixels of an image.

    Raises:
        OSError: the whole corpus is gone, or the store failed.
    """
    for file in files:
        try:
            if file.refusal:
                raise ImageRefused(file.refusal)
            if file.size > limits.max_bytes:
                raise ImageRefused(f"file too large: {file.size} bytes, limit {limits.max_bytes}")
            image = accepted(file.key, file.path, _read(source, file), corpus, limits)
            yield _with_sides(image, source, file.sides)
        except ImageRefused as refusal:
            yield Refused(key=file.key, source=file.path, reason=str(refusal))
        advance(1)


def _with_sides(image: Accepted, source: Store, files: Sequence[SourceSide]) -> Accepted:
    """Return an image with the files beside it, and why those are left out that are.

    Raises:
        OSError: the whole corpus is gone, or the store failed.
    """
    if not files:
        return image
    sides = Sides()
    for file in files:
        try:
            data = _read(source, file) if file.size <= LARGEST_SIDE else None
            sides.add(file.kind, data, file.size)
        except ImageRefused as refusal:
            sides.leave_out(file.kind, f"side left out: .{file.kind} is {refusal}")
    return dataclasses.replace(image, sides=sides.kept, left_out=sides.left_out)


def _read(source: Store, file: SourceFile | SourceSide) -> bytes:
    """Return the bytes of a file, which may have changed since it was listed.

    Raises:
        ImageRefused: it is gone, has grown, or cannot be read.
        OSError: the whole corpus is gone, perhaps for a moment, or the store failed.
    """
    try:
        (data,) = source.read_slices(file.path, [Slice(0, file.size + 1)])
        if len(data) > file.size:
            raise ImageRefused(f"changed: it has more than the {file.size} bytes that were listed")
        return data
    except StoreRefused as error:
        if (reason := _refused_file(source, error)) is None:
            raise
        raise ImageRefused(f"{UNREADABLE}{reason}") from error
    except OSError as error:
        if not isinstance(error, _UNREADABLE) and error.errno not in _NO_FILE:
            raise
        if isinstance(error, FileNotFoundError) and not _is_there(source):
            raise OSError(
                f"the corpus must stay where it was listed, got none, or an empty one, at "
                f"{source.address()}; mount it again and run again"
            ) from error
        reason = error.strerror or type(error).__name__
        raise ImageRefused(f"{UNREADABLE}{reason}") from error


def _refused_file(source: Store, error: StoreRefused) -> str | None:
    """Return why a disk refuses one file, as behind a loop of links; None if it is the store."""
    if source.local() is None:
        return None
    if isinstance(error, AccessRefused):
        return os.strerror(errno.EACCES)
    cause = error.__cause__
    return cause.strerror if isinstance(cause, OSError) and cause.errno in _NO_FILE else None


def any_readable(source: Store, paths: Iterable[str]) -> bool:
    """Return whether one of several files, which could not be read, can be read now.

    Args:
        source: the folder or bucket that the paths start from.
        paths: of the files.
    """
    return any(side_by_side(partial(_is_readable, source), paths))


def _is_readable(source: Store, path: str) -> bool:
    try:
        return len(list(source.read_slices(path, [Slice(0, 1)]))) == 1
    except (OSError, StoreRefused):
        return False


def _is_there(source: Store) -> bool:
    """Return whether a corpus has anything; the folder of an unmounted disk is empty."""
    folder = source.local()
    return source.is_folder() and (folder is None or any(folder.iterdir()))
