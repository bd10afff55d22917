"""The server of the page: one process on the loopback address, until it is told to end."""

import errno
import secrets
import socket
from collections.abc import Callable

import uvicorn

from flows.view.app import application
from tasks.io.errors import ConfigurationError
from tasks.view.viewed import Viewed

_LOOPBACK = "127.0.0.1"

_GOODBYE_S = 2
"""Seconds that requests have to end when the server is told to."""


def serve(viewed: Viewed, port: int, tell: Callable[[str, str], None]) -> None:
    """Serve the page of a data set until Ctrl-C or SIGTERM.

    Args:
        viewed: the data set.
        port: to listen on; 0 for any free one.
        tell: is called with the page's address, and with one that leads there once, as soon as a
            browser may ask for them.

    Raises:
        ConfigurationError: the port is not to be had.
        KeyboardInterrupt: Ctrl-C, after the server has ended.
    """
    token, ticket = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    with listening(port) as listener:
        root = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
        tell(f"{root}/{token}/", f"{root}/{ticket}")
        config = uvicorn.Config(
            application(viewed, token, ticket),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GOODBYE_S,
        )
        uvicorn.Server(config).run(sockets=[listener])


def listening(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address.

    Raises:
        ConfigurationError: the port is taken, or not for this user.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ConfigurationError(
            f"--port must be one that is free, got {port} ({error.strerror}); leave it out for any"
        ) from error
    listener.listen()
    return listener
