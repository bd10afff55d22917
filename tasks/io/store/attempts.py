"""Reading again when an answer breaks off in the middle, which S3's client does not do."""

import logging
import time
from collections.abc import Callable
from http.client import IncompleteRead

from aiohttp import ClientPayloadError
from botocore.exceptions import HTTPClientError

BROKEN_OFF = (HTTPClientError, ClientPayloadError, IncompleteRead)
"""What reading the rest of an answer raises when there is no rest."""

_ATTEMPTS = 5
_PAUSE_S = 0.2
_PATIENCE_S = 60.0
"""An attempt that ends later is the last: the client has repeated the request by itself."""

_log = logging.getLogger(__name__)


def repeated(read: Callable[[], bytes]) -> bytes:
    """What a function reads, called again a few times with growing pauses if that breaks off."""
    started = time.monotonic()
    for attempt in range(1, _ATTEMPTS):
        try:
            return read()
        except BROKEN_OFF as error:
            if time.monotonic() - started > _PATIENCE_S:
                raise
            _log.debug("reading again, attempt=%d: %s", attempt + 1, error)
            time.sleep(_PAUSE_S * 2**attempt)
    return read()
