"""Requests that bring bytes to and from a remote store; errors name the file's address."""

import logging
import time
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

from aiohttp import ClientPayloadError
from botocore.exceptions import HTTPClientError
from fsspec.asyn import sync

from tasks.io.errors import StoreRefused
from tasks.io.store.errors import (
    is_beyond_end,
    is_contested,
    is_replaced,
    is_unsupported,
    translated,
)


class Replaced(OSError):
    """A file was replaced by another one while it was read."""


def ranged(
    system: Any, full: str, address: str, version: str | None = None
) -> Callable[[int, int], bytes]:
    """Return a function that gives a file's bytes from a start to before an end.

    It gives fewer bytes, or none, where the file ends before.

    Args:
        system: a file system of fsspec.
        full: the file's path there.
        address: the file, for errors.
        version: the ETag that it must have, in S3; ``Replaced`` tells when it has another.
    """

    def part(start: int, end: int) -> bytes:
        if version is not None:
            return _part(system, full, start, end, version)
        data = bytes(system.cat_file(full, start=start, end=end))
        _require_range(len(data), end - start)
        return data

    def fetch(start: int, end: int) -> bytes:
        try:
            with translated(address):
                return repeated(lambda: part(start, end))
        except OSError as error:
            if is_beyond_end(error):
                return b""
            if version is not None and is_replaced(error):
                raise Replaced(f"{address} was replaced while it was read; run again") from error
            raise

    return fetch


def _part(system: Any, full: str, start: int, end: int, version: str) -> bytes:
    """Return a range of one version of an object; fsspec's own request cannot name a version."""
    bucket, key, _ = system.split_path(full)
    asked = {"Range": f"bytes={start}-{end - 1}", "IfMatch": version}
    answer = system.call_s3("get_object", Bucket=bucket, Key=key, **asked)
    body = answer["Body"]
    try:
        _require_range(int(answer.get("ContentLength") or 0), end - start)
        return bytes(sync(system.loop, body.read))
    finally:
        body.close()


def _require_range(size: int, asked: int) -> None:
    """Check that a store answers with no more bytes than were asked for.

    Raises:
        StoreRefused: it gives whole files for parts of them.
    """
    if size > asked:
        raise StoreRefused(
            f"a store must give parts of files, but answered with {size} bytes where {asked} were "
            "asked for; copy the files to a folder, or to a bucket of S3"
        )


_TAIL = 4096
"""Bytes compared where a store holds another number of them than was sent."""


def upload(system: Any, aside: Path, full: str, address: str, **options: Any) -> None:
    """Copy a local file to a remote store, and check its size there.

    Another run may have put a file of its own in the place of this one meanwhile: that is no
    error, as it would be none a moment later. What was cut short ends as the sent file goes on.

    Raises:
        OSError: the store has fewer bytes than were sent. They are left there: no record names
            the file yet, and it may be another run's.
    """
    size = aside.stat().st_size
    with translated(address):
        system.put_file(str(aside), full, **options)
        system.invalidate_cache()
        taken = int(system.info(full)["size"])
        if taken < size and _is_cut_short(system, full, aside, taken):
            raise OSError(f"the upload must take {size} bytes, got {taken}; try again")


def _is_cut_short(system: Any, full: str, aside: Path, taken: int) -> bool:
    """Whether the last of the bytes that a store took are those at the same place of a file."""
    start = max(0, taken - _TAIL)
    with aside.open("rb") as sent:
        sent.seek(start)
        expected = sent.read(taken - start)
    return not expected or bytes(system.cat_file(full, start=start, end=taken)) == expected


def create(system: Any, full: str, data: bytes, address: str) -> bool | None:
    """Write a file unless there is one, or another is being written; return whether it was.

    None means that the store has no conditional writes, and that nothing was written.
    """
    try:
        with translated(address):
            system.pipe_file(full, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        if is_replaced(error) or is_contested(error):
            return False
        if is_unsupported(error):
            return None
        raise
    return True


BROKEN_OFF = (HTTPClientError, ClientPayloadError, IncompleteRead)
"""What libraries raise when a connection ends before the whole answer was read."""

_ATTEMPTS = 5

_PAUSE_S = 0.2
"""Seconds of the first pause, times two; each further pause is twice as long."""

_PATIENCE_S = 60.0
"""Seconds after which no further attempt is made: the client has repeated requests by itself."""

_log = logging.getLogger(__name__)


def repeated(read: Callable[[], bytes]) -> bytes:
    """Return what a function reads; call it again, a few times, if the connection breaks off."""
    started = time.monotonic()
    for attempt in range(1, _ATTEMPTS):
        try:
            return read()
        except BROKEN_OFF as error:
            if time.monotonic() - started > _PATIENCE_S:
                raise
            _log.debug("reading again, attempt=%d: %s", attempt + 1, error)
            time.sleep(_PAUSE_S * 2**attempt)
    return read()
