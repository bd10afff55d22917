"""Errors of stores, translated into those that may pass and those that a person must mend."""

import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientError
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from tasks.io.errors import (
    AccessRefused,
    CredentialsExpired,
    StoreAway,
    StoreFull,
    StoreRefused,
)
from tasks.io.hub.refusals import answer_of

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound)
_STALE_CREDENTIALS = (CredentialRetrievalError, SSOError, TokenRetrievalError)
_UNRENEWED = (CredentialRetrievalError, TokenRetrievalError)
"""Where what gives credentials gave none this time; it is no login that has ended."""

_NOT_OPENED = (*_NO_CREDENTIALS, *_STALE_CREDENTIALS, ParamValidationError)
_ARCHIVED = "InvalidObjectState"

_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket, "
    "`access: {anonymous: true}` beside the corpus's path"
)
_RENEW = "renew the credentials, as by `aws sso login`, and run again"
LOCAL_RIGHTS = "let this user read it"
_ENDPOINT = "AWS_ENDPOINT_URL must begin with http:// or https://"
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
    "KeyTooLongError": "give a shorter prefix",
    "InvalidBucketName": "correct the bucket's name",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "QuotaExceeded": "make room, or ask for more",
    "XMinioStorageFull": "make room, or ask for more",
}
"""Error codes that no repetition mends, and what does; numbers where an answer has no code."""

_KINDS: dict[str, type[StoreRefused]] = {
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403"), AccessRefused),
    **dict.fromkeys(
        ("400", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), CredentialsExpired
    ),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull"), StoreFull),
}
"""What a service says by some of these codes: that there may be something, but not for this
user; that credentials are no longer good, where a request without a body has but a number for
it; that there is no room."""

_AWAY = (500, 502, 503, 504)
"""HTTP statuses by which a service says that it has no answer now."""

_AS_THEY_ARE = (FileExistsError, NotADirectoryError)
"""Errors that are not translated, because callers branch on them."""

_NO_PATHS = {
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "correct the link there, which leads back to itself",
}
"""Errors by which a disk says that a path is none, and what mends them."""


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Translate errors of a remote store in the block into those below.

    Args:
        address: what was being read or written, for the errors' texts.

    Raises:
        FileNotFoundError: there is no such object.
        FileExistsError: there is one, and there must not be.
        PermissionError: the object is archived, and must be restored before it can be read.
        StoreRefused: to repeat it at once would not help; the text says what would.
            AccessRefused, if these credentials, or this user, have no right to it; StoreFull
            and CredentialsExpired, if the next run may find it otherwise.
        StoreAway: the store gave no answer, or said that it has none now, however often it
            was asked.
        OSError: another error, which may pass.
    """
    try:
        yield
    except _AS_THEY_ARE:
        raise
    except _NOT_OPENED as error:
        text = " ".join(str(error).split())
        kind = CredentialsExpired if isinstance(error, _UNRENEWED) else StoreRefused
        raise kind(f"{address} cannot be opened: {text}; {_opening(error)}") from error
    except ValueError as error:
        if not str(error).startswith("Invalid endpoint"):
            raise
        raise StoreRefused(f"{address} cannot be opened: {error}; {_ENDPOINT}") from error
    except Exception as error:
        failure, cause = _failure(error, address)
        if failure is None:
            raise
        raise failure from cause


def _failure(error: Exception, address: str) -> tuple[Exception | None, Exception | None]:
    """Return what callers get for an error that came with a request, and what is told behind it.

    Nothing is told behind an error of the Hub: the addresses of its requests may be signed. The
    first is None for an error of no store.
    """
    of_hub = answer_of(error, address)  # whose client's errors have no kind in common
    if of_hub is not None:
        return of_hub, None
    if not isinstance(error, (BotoCoreError, ClientError, OSError)):
        return None, None
    return not_a_path(error, address) or _answer(address, error), error


def not_a_path(error: BaseException, address: str) -> StoreRefused | None:
    """Return the refusal for a path that a disk takes for none; None for any other error."""
    number = getattr(error, "errno", None)
    if number not in _NO_PATHS:
        return None
    return StoreRefused(f"{address} cannot be read: {os.strerror(number)}; {_NO_PATHS[number]}")


def _opening(error: BaseException) -> str:
    """Return the remedy of an error that comes before any request."""
    if isinstance(error, ParamValidationError):
        return "correct the bucket's name"
    return _RENEW if isinstance(error, _STALE_CREDENTIALS) else _CREDENTIALS


def _answer(address: str, error: Exception) -> Exception:
    """Return the error that callers of a store get for one that a library has raised."""
    code, text = _code(error), _first_line(error)
    if code is not None and code in _REMEDIES:
        refusal = _KINDS.get(code, StoreRefused)
        return refusal(f"{address} was refused with {code}: {text}; {_REMEDIES[code]}")
    if code == _ARCHIVED:
        return PermissionError(errno.EACCES, "archived, restore it first", address)
    if isinstance(error, PermissionError):
        remedy = LOCAL_RIGHTS if error.filename else _KEYS
        return AccessRefused(f"{address} was refused: {text}; {remedy}")
    if isinstance(error, FileNotFoundError):  # as a disk says it
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address)
    if isinstance(error, (BotoCoreError, ClientError, ssl.SSLError)):
        return StoreAway(f"{address} cannot be reached: {text}")
    kind = StoreAway if _status(error) in _AWAY else OSError
    failure = kind(f"{address} gave an error: {text}")
    failure.errno = getattr(error, "errno", None)
    return failure


def is_unsupported(error: OSError) -> bool:
    """Whether an error says that the store does not support the request."""
    return error.errno in (errno.ENOSYS, errno.EOPNOTSUPP)


def is_contested(error: OSError) -> bool:
    """Whether an error says that somebody else writes the same file in this moment."""
    return _code(error) == "ConditionalRequestConflict"


def is_replaced(error: OSError) -> bool:
    """Whether an error says that a file does not meet the condition of a request.

    For the condition that there must be no file, fsspec raises FileExistsError itself, but
    only where the answer names the condition, as AWS's does.
    """
    return _code(error) in ("PreconditionFailed", "412")


def is_beyond_end(error: OSError) -> bool:
    """Whether an error says that only bytes behind a file's last were asked for."""
    return _code(error) in ("InvalidRange", "416")


def _code(error: BaseException) -> str | None:
    """Return the error code of the service's answer; None if no answer is behind the error."""
    response = _response(error)
    return None if response is None else str(response.get("Error", {}).get("Code"))


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of the service's answer; None if no answer is behind the error."""
    status: int | None
    status = (_response(error) or {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _response(error: BaseException) -> dict[str, Any] | None:
    """Return the service's answer as botocore has it, if one is behind an error."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response
        cause = cause.__cause__
    return None


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")
