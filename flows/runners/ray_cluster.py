"""A running Ray cluster: joining it, checking it, and what its machines have room for."""

import ipaddress
import logging
import math
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import ray
from prefect.settings import PREFECT_API_URL

from tasks.io.errors import ConfigurationError

_ATTEMPTS = 3
"""How often joining is tried."""

_CACHE_S = 5.0
"""Seconds for which the list of machines is used again."""

_CONNECT_TIMEOUT_S = 10.0
"""Seconds to wait for a cluster's port to answer; Ray itself would try for minutes."""


@dataclass(frozen=True)
class Ask:
    """The resources that one task asks a machine of the cluster for."""

    cpus: float = 0.0
    gpus: float = 0.0
    """From 0 to 1, because a task computes on one device or shares it."""
    memory: float = 0.0
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster with all its resources, in use or not."""

    host: str
    cpus: float
    gpus: float
    memory: float
    """Bytes."""

    def fits(self, ask: Ask) -> int:
        """How many tasks with this ask the machine runs at once."""
        by_gpus = math.inf if ask.gpus == 0 else int(self.gpus) * _times(ask.gpus, 1.0)
        by_cpus, by_memory = _times(ask.cpus, self.cpus), _times(ask.memory, self.memory)
        return int(min(by_cpus, by_gpus, by_memory))


def _times(part: float, whole: float) -> float:
    """How many parts the whole holds; Ray rounds resources to ten thousandths."""
    return math.inf if part == 0 else math.floor(whole / part + 1e-6)


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Have this process be part of a Ray cluster for as long as the block runs.

    Does nothing where this process is part of a cluster already.

    Args:
        address: of the cluster; by default that of RAY_ADDRESS, or of this machine's cluster.

    Raises:
        ConfigurationError: the cluster does not answer, does not accept this process, or
            cannot reach the Prefect server.
    """
    if ray.is_initialized():
        yield
        return
    _require_answer(address or os.environ.get("RAY_ADDRESS", "auto"))
    _machines_at.cache_clear()
    _join(address or "auto")
    try:
        _require_reachable_server()
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Join the cluster, without Ray's output on this terminal."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _try_to_join(address)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"the Ray cluster at {address} must take this process, but does not: {error}; "
            "correct compute.runner.address, or give both the same versions of Ray and Python"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own over it


def _try_to_join(address: str) -> None:
    """Join, and try again where that fails.

    The head forks a server process for each client, and that process may crash:
    https://github.com/grpc/grpc/blob/master/doc/fork_support.md
    """
    for attempt in range(_ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Ray Client connection timed out")
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            return
        except ConnectionError:
            ray.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise


def machines() -> list[Machine]:
    """The machines of the cluster that are alive now."""
    return [
        Machine(
            host=node["NodeManagerHostname"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            memory=node["Resources"].get("memory", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def recent_machines() -> list[Machine]:
    """The machines that were alive a few seconds ago at most, from a cache."""
    return _machines_at(int(time.monotonic() / _CACHE_S))


@lru_cache(maxsize=1)
def _machines_at(_moment: int) -> list[Machine]:
    return machines()


def fair_cpus(gpus: float, among: list[Machine]) -> float:
    """How many processors each task gets so that no machine's GPU stays idle for want of one.

    Args:
        gpus: that each task asks for; a task without a GPU gets one processor.
        among: the machines that the tasks run on.

    Returns:
        A whole number, or a fraction of one where a machine has fewer processors than tasks.
    """
    if gpus == 0:
        return 1.0
    slots = [(machine.cpus, machine.fits(Ask(gpus=gpus))) for machine in among]
    share = min((cpus / count for cpus, count in slots if count), default=1.0)
    return float(share // 1) if share >= 1 else share


def _require_answer(address: str) -> None:
    """Check that something listens at an address, if it names a port.

    Raises:
        ConfigurationError: nothing does.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname is None or parts.port is None:
        return
    try:
        socket.create_connection((parts.hostname, parts.port), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigurationError(
            f"the Ray cluster at {address} must answer, but does not ({error}); start it, or "
            "correct compute.runner.address"
        ) from error


def _require_reachable_server() -> None:
    """Check that tasks on other machines can reach the Prefect server.

    Raises:
        ConfigurationError: PREFECT_API_URL is not set, or names this machine's loopback.
    """
    address = PREFECT_API_URL.value()
    others = {machine.host for machine in machines()} - {socket.gethostname()}
    if address is None or (others and _is_loopback(urlsplit(address).hostname or "")):
        raise ConfigurationError(
            "PREFECT_API_URL must be an address that the machines of the Ray cluster reach, got "
            f"{address}; start a server with `prefect server start --host 0.0.0.0` and set "
            "PREFECT_API_URL=http://HOST:4200/api, where HOST is this machine's name there"
        )


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified
