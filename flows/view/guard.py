"""Who may ask: a browser on this machine that was given the address, and nobody else.

The server listens on the loopback address only. Any page that is open in a browser there can
send it requests, and so can other users of the machine. So the address has a token that nobody
can guess; the names under which the server may be called are checked, against a page elsewhere
that has its own name lead here (DNS rebinding); what comes from another page is refused; and
nothing is said to pages of other origins. Whoever looks at the list of processes sees what a
browser was started with; so that is a ticket, which leads to the address once.
"""

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
"""Names of this machine; the port may be another one behind a tunnel."""

MOST_BYTES = 1 << 14
"""Bytes of what a page sends at most."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Lets requests through that know the token, and says on every answer what a page may do.

    Args:
        app: what answers them.
        token: the first part of every path.
        ticket: who first asks for it as a path is led to the page; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str, ticket: str = "") -> None:
        self._app, self._token, self._ticket = app, token.encode(), ticket.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        app = self._answer(scope) or self._app

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await app(scope, receive, guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """The answer to a request that is not let through; None for any other."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
            return PlainTextResponse("this is not the name of the server", 421)
        if origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse("other pages may not ask here", 403)
        first = (scope["path"].split("/")[1] if scope["path"].startswith("/") else "").encode()
        if self._ticket and secrets.compare_digest(first, self._ticket):
            self._ticket = b""
            return RedirectResponse(f"/{self._token.decode()}/", 303)
        if not secrets.compare_digest(first, self._token):
            return PlainTextResponse("open the address that `dotpipe view` has printed", 404)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES or "transfer-encoding" in headers:
            return PlainTextResponse("too much was sent", 413)
        return None
