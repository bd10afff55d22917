"""A PostgreSQL of a test's own, wherever one is installed.

    with postgres(tmp_path) as database:
        database.url            # postgresql+asyncpg://…, for PREFECT_SERVER_DATABASE_CONNECTION_URL
        database.psql_url       # postgresql://…, for psql and other clients
        database.ask("select count(*) from task_run")     # what psql answers, as text

Skips the test where there is no PostgreSQL. The data lie in a folder of their own, which
goes at the end; the log is ``postgres.log`` in the folder that is given.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.child_processes import begin, end, end_of_log, free_port

QUICK: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""Settings for data that need not outlive the machine; {} are those of a fresh installation."""

_START_TIMEOUT_S = 60
_USER = "prefect"


@dataclass(frozen=True)
class Database:
    """An empty database, and how to reach it."""

    url: str
    psql_url: str
    binaries: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    def ask(self, sql: str) -> str:
        """What psql answers to a command: rows as lines, columns between bars."""
        words = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.psql_url]
        command = [str(self.binaries / "psql"), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres(folder: Path, settings: Mapping[str, str] = QUICK) -> Iterator[Database]:
    """A running PostgreSQL with an empty database.

    Args:
        folder: for its log; and for its data, unless this is root: PostgreSQL refuses to
            run as root, and other users may not write there.
        settings: of postgresql.conf.
    """
    binaries, user = _binaries(), _other_user()
    if binaries is None:
        pytest.skip(
            "no PostgreSQL: no initdb on the PATH or below /usr/lib/postgresql; "
            "`apt-get install postgresql` on Debian"
        )
    log, port, password = folder / "postgres.log", free_port(), secrets.token_hex(16)
    with _data_folder(folder, user) as data:
        _initialise(binaries, data, user, password)
        options = {"port": str(port), "unix_socket_directories": str(data.parent), **settings}
        told = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        server = begin(
            [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", *told],
            log=log,
            user=user,
            death_signal=signal.SIGINT,
        )
        try:
            place = f"{_USER}:{password}@127.0.0.1:{port}/postgres"
            database = Database(
                f"postgresql+asyncpg://{place}", f"postgresql://{place}", binaries, log, server
            )
            _wait(server, database)
            yield database
        finally:
            end(server, signal.SIGINT)  # clients are sent away, data are written


def _binaries() -> Path | None:
    """The folder with initdb: that of the PATH, or of the newest Debian or Red Hat package."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    packages = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    found = [path for path in packages if (path / "initdb").exists()]
    return max(
        found, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], default=None
    )


def _other_user() -> str | None:
    """Whom to run as: nobody else, unless this is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def _data_folder(folder: Path, user: str | None) -> Iterator[Path]:
    """Where the data go; of that user, who need not see the test's folder."""
    with tempfile.TemporaryDirectory(
        prefix="postgres-", dir=None if user else folder, ignore_cleanup_errors=True
    ) as name:
        place = Path(name)
        if user:
            shutil.chown(place, user)
        yield place / "data"


def _initialise(binaries: Path, data: Path, user: str | None, password: str) -> None:
    """Make the files of a cluster."""
    word = data.parent / "password"
    word.write_text(password)
    if user:
        shutil.chown(word, user)
    options = ["--username", _USER, "--auth", "scram-sha-256", "--pwfile", str(word)]
    words = ["-D", str(data), *options, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    log = data.parent / "initdb.log"
    making = begin([str(binaries / "initdb"), *words], log=log, user=user)
    assert making.wait(_START_TIMEOUT_S) == 0, end_of_log(log)
    word.unlink()


def _wait(server: "subprocess.Popen[bytes]", database: Database) -> None:
    """Return when the server takes connections."""
    ready = [str(database.binaries / "pg_isready"), "-q", "-d", database.psql_url]
    deadline = time.monotonic() + _START_TIMEOUT_S
    while subprocess.run(ready, check=False, capture_output=True).returncode != 0:
        assert server.poll() is None, f"PostgreSQL ended: {end_of_log(database.log)}"
        assert time.monotonic() < deadline, f"no answer: {end_of_log(database.log)}"
        time.sleep(0.1)
