"""Folders of this machine in a configuration whose runs are done by others."""

import ipaddress
import socket
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from tasks.config import Config

_OF_ONE_MACHINE = "process"
"""The type of a pool whose workers run flows where they are themselves."""


def folders_left_behind(config: Config, pool: str, server: str) -> str | None:
    """Return a sentence on the folders that workers elsewhere may not have; None for none.

    Workers are taken to be elsewhere if they start containers or machines, or if the Prefect
    server is on another machine.

    Args:
        config: what is deployed.
        pool: the work pool that it is deployed to; one that is missing is of this machine.
        server: the address of the Prefect server.
    """
    folders = {
        field: location for field, location in config.locations().items() if "://" not in location
    }
    kind = _kind(pool)
    if not folders or (kind == _OF_ONE_MACHINE and _is_here(urlsplit(server).hostname or "")):
        return None
    listed = ", ".join(f"{field} ({location})" for field, location in folders.items())
    return (
        f"workers of the pool {pool!r}, of type {kind}, must find the folders of this "
        f"configuration under the same names where they run: {listed}; put them into a bucket, or "
        "on a disk that all of them mount"
    )


def _kind(pool: str) -> str:
    """The type of a work pool."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_work_pool(pool).type
    except ObjectNotFound:
        return _OF_ONE_MACHINE


def _is_here(host: str) -> bool:
    """Whether a host is this machine, as far as its name tells."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"localhost", socket.gethostname(), socket.getfqdn()}
