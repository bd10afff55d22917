"""Parquet files: written with checksums, and read with errors that name the remedy.

Each page has a checksum, which is compared when the page is read: a bit that flipped is an
error, and never a number in a table.
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
    """Write a table to a local file in one piece."""
    pq.write_table(table, path, write_page_checksum=True)


def writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """Return a writer of a local file, which takes a table piece by piece.

    Args:
        path: local file to write.
        schema: of all pieces.
        options: further arguments of Arrow's ``ParquetWriter``.
    """
    return pq.ParquetWriter(path, schema, write_page_checksum=True, **options)


def opened(source: Any) -> pq.ParquetFile:
    """Return a reader of a local file, a buffer, or what else Arrow takes for a file."""
    return pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)


@contextmanager
def present(path: str) -> Iterator[None]:
    """Translate the error of opening a file in the block, of which the ledger has a record.

    Raises:
        ArtifactDamaged: the file is not there.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactDamaged(
            f"{path} must be there, as the ledger says, but is not; {_REMEDY}"
        ) from error


@contextmanager
def whole(path: str) -> Iterator[None]:
    """Translate errors of decoding a Parquet file in the block, which must ask no store.

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
    """Return the columns and metadata of a Parquet file.

    Raises:
        ArtifactDamaged: the file is not there, or not whole.
    """
    with present(path):
        data = store.read(path)
    with whole(path):
        return pq.read_schema(io.BytesIO(data))


def read_table(store: Store, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file of a store as a table, with all columns or some.

    It is read in this thread alone: a thread of Arrow's that frees the file's bytes, which
    are Python's, while the interpreter ends, would abort the process.

    Raises:
        ArtifactDamaged: the file is not there, or not whole.
    """
    with present(path):
        data = store.read(path)
    with whole(path), opened(io.BytesIO(data)) as table:
        return table.read(columns=columns, use_threads=False)


def facts_of(schema: pa.Schema) -> dict[str, str]:
    """Return the metadata of a table as text."""
    return {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
