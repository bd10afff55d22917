"""Parquet files that the ledger vouches for: what reading them finds missing or damaged."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

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
