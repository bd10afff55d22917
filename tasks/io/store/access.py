"""How a store is reached: which URLs are allowed, and the settings of S3's client."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import fsspec
from pydantic import Field

from tasks.io.errors import ConfigurationError
from tasks.io.section import Section

S3 = ("s3", "s3a")
"""Schemes of S3, and of services that speak its protocol."""

HUB = "hf"
"""Scheme of the Hub of Hugging Face, of whose data sets images are read."""

SCHEMES = {"", "file", "local", "memory", HUB, *S3}
"""Schemes that a location may have. Those that run commands or chain others are not among
them: `pipe:` would execute what a configuration says."""

_UNTRIED = ("gs", "gcs", "az", "abfs", "abfss")
"""Schemes of services on which nothing here is tested: Google's and Azure's."""

_ON_DISK = ("file", "local")

_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{\w+\})")
"""What a shell would replace."""

_DATA_SET = re.compile(rf"{HUB}://datasets/[\w.-]+/[\w.-]+(@[^/]+)?(/|$)")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_NO_COLON = re.compile(rf"({'|'.join(sorted(filter(None, (*SCHEMES, *_UNTRIED))))})//")

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
        ConfigurationError: it is nearly an address and none, has a scheme that is not allowed,
            or holds credentials.
    """
    named = ":" in url and not url.startswith(("/", "."))
    scheme = url.partition(":")[0] if named else ""
    if scheme in _UNTRIED:
        raise ConfigurationError(
            f"a location must be a folder, s3:// or hf://, as {scheme}:// is not supported; mount "
            "the bucket as a folder, or copy what it holds to one or to s3:// first"
        )
    if scheme not in SCHEMES or "::" in url:
        raise ConfigurationError(
            f"a location must be a folder or begin with one of "
            f"{', '.join(sorted(f'{name}://' for name in SCHEMES if name))}, without `::`, got "
            f"the scheme {scheme!r}; copy what it names to a folder or bucket first"
        )
    _require_whole(url, scheme)
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigurationError(
            "a location must hold no credentials, got some before the @; put them into the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
        )
    if scheme == HUB and not _DATA_SET.match(url):
        raise ConfigurationError(
            f"behind {HUB}:// must be a data set, as in {HUB}://datasets/ORG/NAME/folder, got "
            f"{url!r}"
        )
    return url


def require_written_out(url: str) -> str:
    """Return a location as a person has written it, if that is all of it.

    Raises:
        ConfigurationError: it is empty, stands among spaces, has several lines, or a variable
            that only a shell would replace.
    """
    if not url or url != url.strip() or _CONTROL.search(url):
        raise ConfigurationError(
            "a location must be one line without spaces around it, got "
            f"{'nothing' if not url.strip() else repr(url)}; `.` is the configuration's own folder"
        )
    if variable := _VARIABLE.search(url):
        raise ConfigurationError(
            f"a location must be written out, got {variable.group()}, which nothing replaces; "
            "write what it stands for (`~` is the home folder)"
        )
    return url


def _require_whole(url: str, scheme: str) -> None:
    """Check that what begins like an address is one, whose bucket or folder is named.

    Its text is not repeated, because it may hold credentials.

    Args:
        url: the location.
        scheme: what stands before its first colon; empty for a folder.
    """
    almost = _NO_COLON.match(url)
    if almost or (scheme and not url.startswith(f"{scheme}://")):
        meant = almost.group(1) if almost else scheme
        raise ConfigurationError(
            f"an address must begin with {meant}:// in full, got one that lacks a part of it; "
            f"a folder that is really called so is ./{meant}"
        )
    rest = url.partition("://")[2]
    if scheme in _ON_DISK and not rest.startswith("/"):
        raise ConfigurationError(
            f"behind {scheme}:// must be an absolute path, as {scheme}:///data, got none; a path "
            f"that counts from the configuration file is written without {scheme}://"
        )
    if scheme and scheme not in (*_ON_DISK, "memory") and rest.startswith(("/", "@")) | (not rest):
        raise ConfigurationError(f"behind {scheme}:// must be the name of a bucket, got none")


def require_writable(url: str) -> str:
    """Return a location that may be opened if files can be written there.

    Raises:
        ConfigurationError: it is on the Hub.
    """
    if url.startswith(f"{HUB}://"):
        raise ConfigurationError(
            f"what is written must go to a folder or bucket, got {url!r}; push it to the Hub "
            "afterwards with `dotpipe push CONFIG --to hf://datasets/ORG/NAME`"
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
    if require_location(url).startswith(f"{HUB}://"):
        from tasks.io.hub.file_system import HubFiles

        # Of its own, as what another one has listed may be of an earlier commit.
        return HubFiles(skip_instance_cache=True), str(HubFiles._strip_protocol(url)).rstrip("/")
    try:
        system, root = fsspec.core.url_to_fs(url, **options(url, access))
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
