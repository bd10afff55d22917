"""Passwords for a new installation, as files that compose and Kubernetes read.

`python -m infra.passwords FOLDER` draws random passwords and writes all files; a folder that
holds them all already stays as it is. Only these files hold secrets of the installation: no
file of this package does, and no command line.
"""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

_BYTES = 24
"""Random bytes in a password."""

_FOR_OWNER, _FOR_EVERYONE = 0o600, 0o644


def main(folder: Path) -> int:
    """Write all files into a folder, made if it is missing, and print their names.

    Returns:
        0 if the folder now holds all files. 1, with an error message and nothing written,
        if it held some of them, because passwords in different files must match.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = {name: text for name, text in files().items() if not (folder / name).exists()}
    if len(missing) not in (0, len(files())):
        sys.stderr.write(
            f"error: {folder} must hold all files or none, lacks {', '.join(missing)}; "
            "passwords in them belong together: name an empty folder\n"
        )
        return 1
    for name, text in missing.items():
        _write(folder / name, text)
        sys.stdout.write(f"wrote {folder / name}\n")
    return 0


def files() -> Mapping[str, str]:
    """The text of every file by its name, with new passwords at each call."""
    database, broker, dashboard, store, grafana = (_password() for _ in range(5))
    login = f"PREFECT_API_AUTH_STRING=admin:{dashboard}"
    return {
        "postgres.env": _lines(f"POSTGRES_PASSWORD={database}"),
        "redis.env": _lines(f"REDIS_PASSWORD={broker}"),
        "server.env": _lines(
            "PREFECT_SERVER_DATABASE_CONNECTION_URL="
            f"postgresql+asyncpg://prefect:{database}@postgres:5432/prefect",
            f"PREFECT_REDIS_MESSAGING_URL=redis://default:{broker}@redis:6379/0",
            f"PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL=redis://default:{broker}@redis:6379/0",
            f"PREFECT_SERVER_DOCKET_URL=redis://default:{broker}@redis:6379/1",
            f"PREFECT_SERVER_API_AUTH_STRING=admin:{dashboard}",
        ),
        "worker.env": _lines(
            login,
            "AWS_ACCESS_KEY_ID=dotpipe",
            f"AWS_SECRET_ACCESS_KEY={store}",
            "AWS_ENDPOINT_URL=http://store:9000",
        ),
        "store.env": _lines("MINIO_ROOT_USER=dotpipe", f"MINIO_ROOT_PASSWORD={store}"),
        "grafana.env": _lines(f"GF_SECURITY_ADMIN_PASSWORD={grafana}"),
        "client.env": _lines("PREFECT_API_URL=http://127.0.0.1:4200/api", login),
        "prometheus-password": dashboard,
    }


def _password() -> str:
    """A random password, without characters special to URLs, shells and env files."""
    return secrets.token_urlsafe(_BYTES)


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, or everyone if it is Prometheus's.

    Prometheus runs as another user. Its file is mounted alone into the container, so the
    folder, which is closed to others, does not keep it from reading.
    """
    path.touch(mode=_FOR_OWNER)
    path.write_text(text, "utf-8")
    path.chmod(_FOR_EVERYONE if path.name == "prometheus-password" else _FOR_OWNER)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m infra.passwords FOLDER")
    sys.exit(main(Path(sys.argv[1])))
