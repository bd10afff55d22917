"""Errors of stores: those that pass by themselves, and those that a person must mend."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import ClientError
from botocore.exceptions import (
    BotoCoreError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from safetensors import SafetensorError

from tasks.io.errors import StoreRefused

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket, "
    "`access: {anonymous: true}` beside the corpus's path"
)
_RENEW = "renew the credentials, as by `aws sso login`, and run again"
_KEYS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE and AWS_ENDPOINT_URL"

_RIGHTS = (
    "allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and "
    "s3:AbortMultipartUpload there (sources need the first two), or use other credentials"
)

_REMEDIES = {
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": "ask the bucket's owner",
    "AccountProblem": "ask the bucket's owner",
    "400": _RENEW,
    "403": _RIGHTS,
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": _RENEW,
    "RequestTimeTooSkewed": "set this machine's clock",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "NoSuchBucket": "make the bucket, or correct its name or AWS_ENDPOINT_URL",
    "InvalidBucketName": "correct the bucket's name",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "QuotaExceeded": "make room, or ask for more",
    "XMinioStorageFull": "make room, or ask for more",
}
"""Error codes that no repetition mends, and what does; numbers where an answer has no code."""

_AS_THEY_ARE = (FileExistsError, NotADirectoryError)
"""What callers branch on."""

_LOCAL_REMEDIES = {
    errno.ENOSPC: "make room there and run again; what is done is kept",
    errno.EDQUOT: "make room there and run again; what is done is kept",
    errno.EROFS: "give a workspace that can be written to",
    errno.EACCES: "give a workspace that this user may write to",
    errno.EPERM: "give a workspace that this user may write to",
    errno.ENOTDIR: "a file is where a folder must be; move it away",
}

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries that are written in Rust tell the system's errors."""


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Errors of a remote store in the block, as OSError or as a refusal with its remedy.

    Raises:
        FileNotFoundError: there is no such object.
        FileExistsError: there is one, and there must not be.
        StoreRefused: no repetition would help.
        OSError: one may.
    """
    try:
        yield
    except _NO_CREDENTIALS as error:
        raise StoreRefused(f"{address} cannot be opened: {error}; {_CREDENTIALS}") from error
    except (BotoCoreError, ClientError, OSError) as error:
        code, text = _code(error), _first_line(error)
        if code in _REMEDIES:
            raise StoreRefused(
                f"{address} was refused with {code}: {text}; {_REMEDIES[code]}"
            ) from error
        if isinstance(error, PermissionError):
            raise StoreRefused(f"{address} was refused: {text}; {_KEYS}") from error
        if isinstance(error, FileNotFoundError):  # as a disk says it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address) from error
        if isinstance(error, _AS_THEY_ARE):
            raise
        answered = not isinstance(error, (BotoCoreError, ClientError))
        what = "gave an error" if answered else "cannot be reached"
        failure = OSError(f"{address} {what}: {text}")
        failure.errno = getattr(error, "errno", None)
        raise failure from error


@contextmanager
def written(address: str, folder: Path) -> Iterator[None]:
    """Errors of writing to a local folder in the block, those for good with their remedy.

    Errors of files that lie elsewhere stay as they are.

    Raises:
        StoreRefused: no repetition would help.
        OSError: one may.
    """
    try:
        yield
    except SafetensorError as error:
        if (number := _SYSTEM_ERROR.search(str(error))) is None:
            raise
        failure = OSError(int(number[1]), os.strerror(int(number[1])))
        raise _refusal(failure, address, folder) or failure from error
    except OSError as error:
        if (refusal := _refusal(error, address, folder)) is not None:
            raise refusal from error
        raise


def _refusal(error: OSError, address: str, folder: Path) -> StoreRefused | None:
    """What a person is told of an error for good, unless it is of a file that lies elsewhere."""
    elsewhere = error.filename and not Path(str(error.filename)).is_relative_to(folder)
    if error.errno not in _LOCAL_REMEDIES or elsewhere:
        return None
    remedy = _LOCAL_REMEDIES[error.errno]
    return StoreRefused(f"{address} cannot be written: {os.strerror(error.errno)}; {remedy}")


def is_unsupported(error: OSError) -> bool:
    """Whether a store says that it does not know what it was asked to do."""
    return error.errno in (errno.ENOSYS, errno.EOPNOTSUPP)


def is_contested(error: OSError) -> bool:
    """Whether a store says that somebody else makes the same file in this moment."""
    return _code(error) == "ConditionalRequestConflict"


def is_replaced(error: OSError) -> bool:
    """Whether a store says that a file is not the version that was asked for."""
    return _code(error) in ("PreconditionFailed", "412")


def is_beyond_end(error: OSError) -> bool:
    """Whether a store was asked for bytes behind a file's last."""
    return _code(error) in ("InvalidRange", "416")


def _code(error: BaseException) -> str | None:
    """The error code of the service's answer, if one is behind an error."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code"))
        cause = cause.__cause__
    return None


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")
