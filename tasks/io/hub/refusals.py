"""Errors of the Hub, translated into those that may pass and those that a person must mend.

Addresses that files are sent to are signed: whoever reads one may use it. So no text has the
address of a request in it, no translated error has one behind it, and what the client logs of a
request has only the part that is not signed. What a store behind the Hub says in XML, which may
repeat the signed request, is left out but for its code and message.
"""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tasks.io.errors import AccessRefused, DotpipeError, StoreAway, StoreFull, StoreRefused

T = TypeVar("T")


class NotTaken(StoreRefused):
    """The Hub does not take what it was given: something of it is wrong, or no longer there."""


_BUSY = (408, 429, 500, 502, 503, 504)
"""Statuses by which the Hub says that it may answer in a moment."""

_ATTEMPTS = 5

_PAUSE_S = 1.0
"""Seconds of the first pause between two attempts; each further one is twice as long."""

_LONGEST_PAUSE_S = 60.0

_RIGHTS = (
    "set HF_TOKEN to a token that may do this (of the role write, or fine-grained with rights on "
    "this repository), or run `hf auth login`"
)

_REMEDIES: dict[int, tuple[type[StoreRefused], str]] = {
    401: (AccessRefused, f"correct its name, or {_RIGHTS}"),
    402: (StoreFull, "make room there, or ask for more"),
    403: (AccessRefused, _RIGHTS),
    404: (StoreRefused, f"correct its name; if it is private, {_RIGHTS}"),
    409: (StoreRefused, "somebody else changes it now: {again}"),
    412: (StoreRefused, "somebody else has changed it meanwhile: {again}"),
    413: (StoreRefused, "send less at once, with larger shards"),
}

_QUERY = re.compile(r"(\w+://[^\s?'\"<>]*)\?[^\s'\"<>]*")

_ADDRESS = re.compile(r"https?://[^\s'\"<>]+")

_IN_XML = re.compile(r"<(Code|Message)>([^<]*)</\1>")

_log = logging.getLogger(__name__)


class _Unsigned(logging.Filter):
    """Lets every message pass, with its addresses cut where their queries begin."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub(r"\1?…", record.getMessage()), ()
        return True


for _name in ("huggingface_hub.utils._http", "huggingface_hub.lfs", "httpx", "httpx2"):
    logging.getLogger(_name).addFilter(_Unsigned())


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Translate errors of the Hub in the block.

    Args:
        address: what was asked for, for the errors' texts.

    Raises:
        StoreRefused: to repeat it would not help; the text says what would. AccessRefused, if the
            token is missing or has no right to it; StoreFull, if there is no room.
        StoreAway: the Hub gave no answer, or said that it has none now.
    """
    try:
        yield
    except DotpipeError:
        raise
    except Exception as error:
        translated = answer_of(error, address, again="run `dotpipe push` again")
        if translated is None:
            raise
        raise translated from None  # the address of its request may be signed


def answer_of(error: BaseException, address: str, again: str = "run again") -> Exception | None:
    """Return what callers get for an error of the Hub's client; None for any other error.

    Args:
        error: as it was raised, or what it was raised from.
        address: what was asked for.
        again: what to do when something else is mended.
    """
    if isinstance(error, DotpipeError):
        return None
    if not _is_of_the_client(error):
        cause = error.__cause__
        return None if cause is None else answer_of(cause, address, again)
    if type(error).__name__.endswith("EntryNotFoundError"):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address)
    status = _status(error)
    if status is None:
        return _unasked(error, address)
    return _refused(error, status, address, again)


def _unasked(error: BaseException, address: str) -> Exception:
    """Return the error for one that came without an answer of the Hub."""
    if type(error).__name__ == "OfflineModeIsEnabled":
        return StoreRefused(f"{address} cannot be reached: HF_HUB_OFFLINE is set; unset it")
    if isinstance(error, ValueError):  # a name that none can have
        return StoreRefused(f"{address} cannot be opened: {_line(str(error))}")
    return StoreAway(f"{address} cannot be reached: {type(error).__name__}")


def _refused(error: BaseException, status: int, address: str, again: str) -> Exception:
    """Return the error for an answer of the Hub that is no success."""
    said = _said(error, status)
    if status in _BUSY:
        return StoreAway(f"{address} gave an error: {said}")
    kind, remedy = _REMEDIES.get(status, (NotTaken, "correct what it says, and {again}"))
    return kind(f"{address} was refused: {said}; {remedy.format(again=again)}")


def patiently(ask: Callable[[], T]) -> T:
    """Return what a request gives; repeat it with pauses while the Hub is busy or away."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return ask()
        except Exception as error:
            if not may_pass(error):
                raise
            pause = min(_asked_pause(error) or _PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            _log.debug("asking again in %.0f s, attempt=%d: %s", pause, attempt + 2, type(error))
            time.sleep(pause)
    return ask()


def may_pass(error: BaseException) -> bool:
    """Whether an error of the client says that the Hub is busy, or gave no answer at all."""
    if not _is_of_the_client(error):
        return error.__cause__ is not None and may_pass(error.__cause__)
    status = _status(error)
    if status is not None:
        return status in _BUSY
    return type(error).__module__.startswith("httpx")


def _is_of_the_client(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("huggingface_hub", "httpx", "httpx2")


def _status(error: BaseException) -> int | None:
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _said(error: BaseException, status: int) -> str:
    """Return what the Hub said in words, with the number of its status."""
    text = str(getattr(error, "server_message", None) or "")
    if text.lstrip().startswith("<"):
        text = ": ".join(found[1] for found in _IN_XML.findall(text))
    return _line(f"{status} {text}")


def _line(text: str) -> str:
    return " ".join(_ADDRESS.sub("…", text).split()).rstrip(".")[:300]


def _asked_pause(error: BaseException) -> float | None:
    """Return for how many seconds the Hub asks to be left alone."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
