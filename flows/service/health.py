"""Whether a Prefect server is well, and the way to one on this machine."""

import os

import httpx


def answers(api: str) -> bool:
    """Whether a Prefect server says that it is well."""
    try:
        return httpx.get(f"{api}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def bypass_proxy() -> None:
    """Talk to this machine directly, whatever proxy the environment names for others."""
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"
