"""Whether a Prefect server answers, and direct connections to one on this machine."""

import os

import httpx

from tasks.io.errors import DotpipeError


def answers(api: str) -> bool:
    """Whether the Prefect server with this API address reports that it is healthy."""
    try:
        return httpx.get(f"{api}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def require_answer(api: str) -> None:
    """Check that the Prefect server that PREFECT_API_URL names is healthy.

    Raises:
        DotpipeError: it does not answer.
    """
    if not answers(api):
        raise DotpipeError(
            f"the Prefect server at PREFECT_API_URL={api} must answer, but does not; start it, or "
            "unset the variable (or the setting of the Prefect profile) for one of dotpipe's own"
        )


LOGS_IN_UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Variables of a process whose output is a log: it is in UTF-8 whatever the locale."""


def bypass_proxy() -> None:
    """Have this process connect to this machine directly, whatever proxy is configured.

    Changes NO_PROXY in the environment, for child processes too.
    """
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"
