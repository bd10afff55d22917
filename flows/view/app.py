"""The application: paths of requests, and what answers them."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from flows.view.answers import Answers
from flows.view.guard import Guard
from tasks.io.errors import ArtifactDamaged, ConfigurationError, DotpipeError, ImageRefused
from tasks.view.pictures import Picture
from tasks.view.trials import voter_named
from tasks.view.viewed import Viewed
from tasks.view.votes import Choice

_logger = logging.getLogger(__name__)

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}

_PAGE = (
    "index.html",
    *("view.css", "main.js", "logic.js", "parts.js", "pane.js"),
    *("browse.js", "image.js", "vote.js", "result.js"),
)
"""The files of the page."""

_STATUS = ((ImageRefused, 422), (ArtifactDamaged, 409), (ConfigurationError, 400))
"""Of answers that tell an error; others of ours are 503, as the store may answer later."""


_SINCE = (
    "; if a run, `dotpipe forget` or `dotpipe gc` has changed the workspace since, start "
    "`dotpipe view` again"
)
"""What may be the cause where the workspace is not as it was when the server was started."""


class TrialAsked(BaseModel):
    """Who wants to compare which versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voter: str
    versions: list[str]


class VoteCast(BaseModel):
    """Which side was preferred, and after how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choice: Choice
    seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


def application(viewed: Viewed, token: str, ticket: str = "") -> ASGIApp:
    """Return what answers the requests of browsers.

    Args:
        viewed: the data set.
        token: the first part of every path that is answered.
        ticket: a path that leads to the page once; empty for none.
    """
    page = Starlette(routes=[Mount(f"/{token}", routes=_routes(Answers(viewed)))])
    return Guard(page, token, ticket)


def _routes(answers: Answers) -> list[Route]:
    def query(request: Request, *names: str) -> list[str]:
        return [request.query_params.get(name, "") for name in names]

    def image(request: Request) -> Response:
        return _json(answers.image(*query(request, "shard", "key")))

    def pictured(request: Request) -> Response:
        asked, small = query(request, "shard", "key", "version"), "small" in request.query_params
        return _picture(answers.picture(*asked, small=small))

    def side(request: Request) -> Response:
        return _picture(answers.side(request.path_params["id"], request.path_params["side"]))

    def trial(_: Request, body: bytes) -> Response:
        asked = _parsed(TrialAsked, body)
        return _json(answers.trial(voter_named(asked.voter), asked.versions))

    def vote(request: Request, body: bytes) -> Response:
        cast = _parsed(VoteCast, body)
        voted = answers.trials.take(request.path_params["id"], cast.choice, cast.seconds)
        return _json({"cast": voted})

    asked: dict[str, Callable[[Request], Response]] = {
        "/facts": lambda _: _json(answers.facts()),
        "/rows": lambda request: _json(answers.rows(*query(request, "ask"))),
        "/image": image,
        "/picture": pictured,
        "/trials/{id}/{side}": side,
        "/result": lambda _: _json(answers.result()),
    }
    sent = {"/trials": trial, "/trials/{id}": vote}
    return [
        *(Route(f"/{path}", _file(name), methods=["GET"]) for path, name in _page()),
        *(Route(path, _told(answer), methods=["GET"]) for path, answer in asked.items()),
        *(Route(path, _taken(answer), methods=["POST"]) for path, answer in sent.items()),
    ]


def _told(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """An endpoint, called in a thread, whose errors are told as JSON with a sentence."""

    def endpoint(request: Request) -> Response:
        try:
            return answer(request)
        except (DotpipeError, OSError) as error:
            return _error(error)

    return endpoint


def _taken(
    answer: Callable[[Request, bytes], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """The same for a request with a body, which a thread is given whole."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_told(lambda asked: answer(asked, body)), request)

    return endpoint


def _error(error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
    if status == 503:
        _logger.warning("no answer: %s", error)
    since = _SINCE if isinstance(error, ArtifactDamaged) else ""
    return JSONResponse({"error": f"{error}{since}"}, status)


def _parsed(kind: type[Any], body: bytes) -> Any:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise ConfigurationError(
            f"what is sent must be what the page sends, got {error.error_count()} mistakes"
        ) from error


def _json(value: Any) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type="application/json")


def _picture(found: Picture) -> Response:
    headers = {"Cache-Control": "private, max-age=3600"}
    if found.note:
        headers["X-Note"] = found.note
    return Response(found.data, media_type=found.media_type, headers=headers)


def _page() -> Iterator[tuple[str, str]]:
    """Yield path and name of each file of the page."""
    yield from (("" if name == "index.html" else name, name) for name in _PAGE)


def _file(name: str) -> Callable[[Request], Response]:
    """An endpoint that gives a file of the page."""

    def endpoint(_: Request) -> Response:
        data = (files("flows.view") / "page" / name).read_bytes()
        return Response(data, media_type=_TYPES[name.rpartition(".")[2]])

    return endpoint
