"""How a store is reached: which URLs are allowed, and the settings of S3's client."""

from typing import Annotated, Any
from urllib.parse import urlsplit

import fsspec
from pydantic import Field

from tasks.io.errors import ConfigurationError
from tasks.io.section import Section

S3 = ("s3", "s3a")
"""Schemes of S3, and of services that speak its protocol."""

SCHEMES = {"", "file", "local", "memory", "gs", "gcs", "az", "abfs", "abfss", *S3}
"""Schemes that a location may have. Those that run commands or chain others are not among
them: `pipe:` would execute what a configuration says."""

PART_BYTES = 16 << 20
"""Size of the parts in which a large file is uploaded."""

PARTS_AT_ONCE = 4
"""Parts of an upload that are read and sent at a time."""

_CONNECT_S = 10.0
_SILENCE_S = 20.0
_ATTEMPTS = 6
"""Throttled, timed-out and 5xx requests are repeated, with growing pauses of 15 s in all: an
endpoint that refuses connections is given up after 30 s, one that is silent after 2.5 min."""


class Access(Section):
    """How a source is reached, where the environment's way is not the right one.

    Keys are never written here: they come from the environment or the named profile.
    """

    profile: str | None = None
    """Profile of the shared AWS configuration; AWS_PROFILE's by default."""
    anonymous: bool = False
    """Send no credentials: for public buckets."""
    requester_pays: bool = False
    """Agree to pay for what is read, which some buckets demand."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    """Address of the S3 service; AWS_ENDPOINT_URL's by default."""


FROM_ENVIRONMENT = Access()
"""Credentials and endpoint as the environment or the shared AWS configuration has them."""


def require_location(url: str) -> str:
    """Return the URL if it may be opened.

    Raises:
        ConfigurationError: the URL's scheme is not allowed, or the URL holds credentials.
    """
    parts = urlsplit(url)
    named = ":" in url and not url.startswith(("/", "."))
    scheme = url.partition(":")[0] if named else ""
    if scheme not in SCHEMES or "::" in url:
        raise ConfigurationError(
            f"a location must be a folder or begin with one of "
            f"{', '.join(sorted(f'{name}://' for name in SCHEMES if name))}, without `::`, got "
            f"the scheme {scheme!r}; copy what it names to a folder or bucket first"
        )
    user, at, _ = parts.netloc.rpartition("@")  # before Azure's account stands the container
    if at and (is_s3(url) or ":" in user):
        raise ConfigurationError(
            "a location must hold no credentials, got some before the @; put them into the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
        )
    return url


def is_s3(url: str) -> bool:
    """Whether a URL names a bucket of S3 or of something that speaks its protocol."""
    return url.startswith(tuple(f"{name}://" for name in S3))


def connected(url: str, access: Access) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path there.

    Raises:
        ConfigurationError: the URL is not allowed, or nothing here can open it.
    """
    try:
        system, root = fsspec.core.url_to_fs(require_location(url), **options(url, access))
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{url!r} must be a folder, or a URL that fsspec can open: {error}"
        ) from error
    if is_s3(url):
        system.retries = 1  # the client repeats requests by itself; twice would be 30 times
    return system, root.rstrip("/")


def options(url: str, access: Access) -> dict[str, Any]:
    """Return the arguments with which fsspec opens a URL."""
    if not is_s3(url):
        return {}
    named = {"profile": access.profile, "endpoint_url": access.endpoint}
    return {
        "anon": access.anonymous,
        "requester_pays": access.requester_pays,
        "use_listings_cache": False,
        "max_concurrency": PARTS_AT_ONCE,
        "config_kwargs": {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _SILENCE_S,
            "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
            "max_pool_connections": 32,
        },
        **{name: value for name, value in named.items() if value is not None},
    }
