"""Whether a Prefect server answers and lets us in, and in a sentence why not."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLOUD_API_URL,
    PREFECT_UI_URL,
    temporary_settings,
)

from tasks.io.errors import DotpipeError

STARTED_HERE = {
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "PREFECT_SERVER_API_BASE_PATH": "/api",
}
"""Variables of a server or worker that is started here, whatever the user's locale and profile:
its log is in UTF-8, and its API is where we ask for it."""


def answers(api: str) -> bool:
    """Whether the Prefect server with this API address reports that it is healthy."""
    try:
        return httpx.get(f"{api}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def require_answer(api: str, log: Callable[[], str] | None = None) -> None:
    """Check that a Prefect server is at an API address, is healthy and lets this user in.

    The arguments are those of ``explained``.

    Raises:
        DotpipeError: nothing answers there, or something else, or it refuses this user.
    """
    once = {PREFECT_API_URL: api, PREFECT_CLIENT_MAX_RETRIES: 0}
    with explained(api, log), temporary_settings(once):
        client = get_client(sync_client=True)
        is_cloud = client.server_type == ServerType.CLOUD
        try:
            if is_cloud:  # which has no version to tell; the question needs the key's workspace
                answer = client.request("POST", "/work_pools/filter", json={"limit": 1}, timeout=10)
            else:
                answer = client.request("GET", "/admin/version", timeout=10)
        finally:
            client._client.close()  # it was not entered, by which it would compare versions
        if not isinstance(answer.json(), list if is_cloud else str):
            raise json.JSONDecodeError("no answer of Prefect's", answer.text, 0)


def dashboard_of(api: str) -> str:
    """The address of the dashboard of a server, or of Prefect Cloud's workspace, by its API's.

    Args:
        api: the API address, which is PREFECT_API_URL at the time.
    """
    if api.startswith(str(PREFECT_CLOUD_API_URL.value())):
        return str(PREFECT_UI_URL.value())
    return without_secrets(api.removesuffix("/api"))


@contextmanager
def explained(api: str, log: Callable[[], str] | None = None) -> Iterator[None]:
    """Translate the errors of a Prefect server that is asked in the block.

    Args:
        api: the server's API address, for the errors' texts.
        log: gives the log of a server that was started here; None for the server that
            PREFECT_API_URL or the active Prefect profile names.

    Raises:
        DotpipeError: the server does not answer, or not as it should.
    """
    try:
        yield
    except (PrefectHTTPStatusError, httpx.HTTPError, httpx.InvalidURL) as error:
        if not _is_of(api, error):
            raise
        raise DotpipeError(_told(api, error, log)) from error
    except json.JSONDecodeError as error:
        raise DotpipeError(_told(api, error, log)) from error
    except RuntimeError as error:  # of a client that compares versions before its first request
        if not str(error).startswith(("Failed to reach API", "Found incompatible versions")):
            raise
        raise DotpipeError(_told(api, error.__cause__ or error, log)) from error


def without_secrets(text: str) -> str:
    """The text, with stars for user and password in the addresses that it holds."""
    return re.sub(r"://[^/\s@'\"]+@", "://***@", text)


def last_words(log: str) -> str:
    """The error that a log ends with, or its last line, and what mends it where that is known."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    said = without_secrets((errors or lines or ["nothing"])[-1])
    remedy = next((mends for words, mends in _REMEDIES.items() if words in log), "")
    return said[:_LONGEST] + remedy


_LONGEST = 300
"""Letters of an error that are shown of a log."""

_ROOM = "; make room for Prefect's database, or set PREFECT_HOME to a folder with room"
_RIGHTS = "; let this user write there, or set PREFECT_HOME to another folder"
_REMEDIES = {
    "disk is full": _ROOM,
    "No space left": _ROOM,
    "disk I/O error": _ROOM + ", and no limit on the size of files (ulimit -f)",
    "File too large": "; raise the limit on the size of files (ulimit -f)",
    "readonly database": _RIGHTS,
    "unable to open database file": _RIGHTS,
    "Permission denied": _RIGHTS,
}
"""What mends the faults of a server's own folder, by words in its log."""


def _is_of(api: str, error: Exception) -> bool:
    """Whether an error is of a request to this server; stores and hubs are asked by HTTP too."""
    try:
        asked = error.request.url  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return True  # no request was made yet
    return not asked.host or asked.host == urlsplit(api).hostname


def _told(api: str, error: BaseException, log: Callable[[], str] | None) -> str:
    """What an error means, and what can be done."""
    named = "" if log else "PREFECT_API_URL="
    server = f"the Prefect server at {named}{without_secrets(api)}"
    if isinstance(error, PrefectHTTPStatusError):
        status = error.response.status_code
        if log and status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return f"{server} fails with {status}: {last_words(log())}"
        return _refusal(server, api, status)
    if isinstance(error, json.JSONDecodeError):
        return f"{server} must answer as Prefect's API does, {_elsewhere(api)}"
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return f"{server} must answer, but does not{_why(error)}"
    return f"{server} must be of this version of Prefect: {without_secrets(str(error))}"


def _refusal(server: str, api: str, status: int) -> str:
    """What an answer with an HTTP status of an error means."""
    if status == httpx.codes.UNAUTHORIZED and api.startswith(str(PREFECT_CLOUD_API_URL.value())):
        if PREFECT_API_AUTH_STRING.value():
            return (
                f"{server} must be sent PREFECT_API_KEY, but PREFECT_API_AUTH_STRING is set, which "
                "Prefect sends in its place; unset it"
            )
        return f"{server} refuses the key; set PREFECT_API_KEY, as `prefect cloud login` does"
    if status == httpx.codes.UNAUTHORIZED:
        known = PREFECT_API_AUTH_STRING.value() or PREFECT_API_KEY.value()
        said = "refuses the one that is given" if known else "was given none"
        return (
            f"{server} asks for a password and {said}; set PREFECT_API_AUTH_STRING to what the "
            "server has as PREFECT_SERVER_API_AUTH_STRING"
        )
    if status in (httpx.codes.FORBIDDEN, httpx.codes.PROXY_AUTHENTICATION_REQUIRED):
        return (
            f"{server} must let this user in, but refuses with {status}; ask whoever keeps the "
            "server, or the proxy before it"
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return (
            f"{server} must be healthy, but answers with {status}; its log says why. What is done "
            "is kept: run again when it is well"
        )
    return f"{server} must answer as Prefect's API does, got {status}, {_elsewhere(api)}"


def _elsewhere(api: str) -> str:
    """How to mend an address at which something else than Prefect's API answers."""
    if not urlsplit(api).path.rstrip("/").endswith("/api") and "/api/" not in api:
        return f"but the address lacks /api; set PREFECT_API_URL={without_secrets(api)}/api"
    return "but another program answers there; correct the address"


def _why(error: Exception) -> str:
    """Why nothing answers, if it is known, and what can be done."""
    text = str(error)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return "; an address begins with http:// or https:// and ends with /api"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            ": its certificate is not trusted; set PREFECT_API_SSL_CERT_FILE to that of who has "
            "signed it"
        )
    if "SSL" in text.upper():
        return ": it does not speak TLS; set PREFECT_API_URL to the same address with http://"
    return (
        "; start it, or unset the variable (or the setting of the Prefect profile) for one of "
        "dotpipe's own"
    )


def bypass_proxy() -> None:
    """Have this process connect to this machine directly, whatever proxy is configured.

    Changes NO_PROXY in the environment, for child processes too.
    """
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},127.0.0.1" if others else "127.0.0.1"
