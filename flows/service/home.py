"""The folder in which Prefect keeps its database, and we the locks and logs of daemons."""

import errno
import os
import resource
import tempfile
from pathlib import Path

from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL

from tasks.io.errors import DotpipeError

_ROOM = 8 << 20
"""Bytes that a server needs for a new database, with its journal and our logs."""

_SQLITE = "sqlite+aiosqlite:///"


def require_home() -> None:
    """Check that a server can be started: its folders can be written to, and have room.

    Raises:
        DotpipeError: a folder or file there cannot be written, or there is no room.
    """
    home = Path(PREFECT_HOME.value())
    location = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value())
    file = Path(location.removeprefix(_SQLITE)) if location.startswith(_SQLITE) else None
    try:
        _write_something(home)
        if file is not None and file.name != ":memory:":
            _write_something(file.parent)
            _require_growth(file)
    except OSError as error:
        raise DotpipeError(
            f"a Prefect server keeps its database in {error.filename or home}, where {_ROOM >> 20} "
            f"MB must be free to write, got {error.strerror!r}; set PREFECT_HOME to another "
            "folder, or PREFECT_API_URL to a server that is there"
        ) from error


def _write_something(folder: Path) -> None:
    """Write as many bytes in a folder as a new database takes, and remove them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_ROOM))
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or errno.EIO), str(folder)) from error


def _require_growth(file: Path) -> None:
    """Check that a database that may be there can be written to and can grow."""
    if not file.exists():
        return
    if not os.access(file, os.R_OK | os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and file.stat().st_size + _ROOM > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
