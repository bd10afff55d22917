"""Parquet files that the ledger vouches for: what reading them finds missing or damaged.

Each page is written with a checksum, and checked when it is read: a bit that turned is an
error, and no number in a table.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.io.errors import ArtifactDamaged
from tasks.io.store import Store

_REMEDY = "run `dotpipe repair CONFIG`"

_DECODING = (
    pa.ArrowInvalid,
    pa.ArrowNotImplementedError,
    pa.ArrowKeyError,
    pa.ArrowIndexError,
    pa.ArrowTypeError,
    UnicodeDecodeError,
)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a local file in one piece."""
    pq.write_table(table, path, write_page_checksum=True)


def writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """Writes a local file piece by piece."""
    return pq.ParquetWriter(path, schema, write_page_checksum=True, **options)


def opened(source: Any) -> pq.ParquetFile:
    """Reads a local file, or what Arrow takes for one."""
    return pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)


@contextmanager
def present(path: str) -> Iterator[None]:
    """The block opens a file that the ledger vouches for.

    Raises:
        ArtifactDamaged: it is not there.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactDamaged(
            f"{path} must be there, as the ledger says, but is not; {_REMEDY}"
        ) from error


@contextmanager
def whole(path: str) -> Iterator[None]:
    """The block decodes a Parquet file; no store is asked in it.

    Raises:
        ArtifactDamaged: the file is cut short, or holds other bytes than were written.
        OSError: the disk gave an error.
    """
    try:
        yield
    except (*_DECODING, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # Arrow's own have none
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ArtifactDamaged(
            f"{path} must be a whole Parquet file, but cannot be read: {reason}; {_REMEDY}"
        ) from error


def read_schema(store: Store, path: str) -> pa.Schema:
    """The columns and metadata of a Parquet file.

    Raises:
        ArtifactDamaged: it is not there, or not whole.
    """
    with present(path):
        data = store.read(path)
    with whole(path):
        return pq.read_schema(io.BytesIO(data))


def read_table(store: Store, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file of the store.

    In this thread alone: one of Arrow's that lets go of the bytes, which are Python's,
    while the interpreter ends, aborts the process.

    Raises:
        ArtifactDamaged: it is not there, or not whole.
    """
    with present(path):
        data = store.read(path)
    with whole(path), opened(io.BytesIO(data)) as table:
        return table.read(columns=columns, use_threads=False)
