"""A Prefect server that does not answer, or not as it should, is one sentence, at once."""

import base64
import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLOUD_API_URL,
    PREFECT_CLOUD_UI_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from flows.service import service
from flows.service.health import (
    dashboard_of,
    explained,
    last_words,
    require_answer,
    without_secrets,
)
from flows.service.service import own_settings, served
from tasks.io.errors import DotpipeError

VERSION = json.dumps("3.8.8")


@contextmanager
def answering(status, body, kind="application/json", password=None, asked=None):
    """A program that answers every request alike, or with 401 to those without the password."""
    asked = [] if asked is None else asked
    wanted = password and "Basic " + base64.b64encode(password.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            refused = wanted and self.headers.get("Authorization") != wanted
            self.send_response(401 if refused else status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self):
            asked.append((self.path, self.headers.get("Authorization")))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def cloud(status, body, asked=None):
    """The API address of a workspace of a stand-in of Prefect Cloud."""
    with answering(status, body, asked=asked) as address:
        settings = {
            PREFECT_CLOUD_API_URL: f"{address}/api",
            PREFECT_CLOUD_UI_URL: "https://app.example.org",
            PREFECT_API_KEY: "pnu_sekret",
        }
        with temporary_settings(settings):
            yield f"{address}/api/accounts/A/workspaces/W"


def said(api):
    """The sentence on a server at an address, which comes at once."""
    start = time.monotonic()
    with pytest.raises(DotpipeError) as caught:
        require_answer(api)
    assert time.monotonic() - start < 5
    text = str(caught.value)
    assert "\n" not in text
    assert "sekret" not in text
    return text


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, "{}", "application/json", "asks for a password and was given none"),
        (403, "{}", "application/json", "must let this user in, but refuses with 403"),
        (404, "no", "text/plain", "got 404, but another program answers there"),
        (418, "no", "text/plain", "got 418, but another program answers there"),
        (200, "<html>Log in</html>", "text/html", "another program answers there"),
        (200, "{}", "application/json", "another program answers there"),
        (500, "{}", "application/json", "must be healthy, but answers with 500"),
        (502, "bad", "text/html", "must be healthy, but answers with 502"),
        (503, "", "text/plain", "must be healthy, but answers with 503"),
    ],
)
def test_every_answer_that_is_not_that_of_a_server_is_told(status, body, kind, sentence):
    with answering(status, body, kind) as address:
        text = said(f"{address}/api")
    assert sentence in text
    assert text.startswith(f"the Prefect server at PREFECT_API_URL={address}/api ")


@pytest.mark.parametrize(("status", "body"), [(404, "{}"), (200, "<html></html>")])
def test_an_address_without_api_is_told_with_the_right_one(status, body):
    with answering(status, body) as address:
        text = said(address)
    assert text.endswith(f"but the address lacks /api; set PREFECT_API_URL={address}/api")


def test_a_password_that_is_wrong_is_told_and_one_that_is_right_lets_in():
    with answering(200, VERSION, password="admin:right") as address:
        api = f"{address}/api"
        assert "was given none" in said(api)
        with temporary_settings({PREFECT_API_AUTH_STRING: "admin:sekret"}):
            assert "refuses the one that is given" in said(api)
        with temporary_settings({PREFECT_API_AUTH_STRING: "admin:right"}):
            require_answer(api)


def test_prefect_cloud_is_asked_for_what_only_the_key_of_a_workspace_may_see():
    asked = []
    with cloud(200, "[]", asked) as api:
        require_answer(api)
        assert asked == [("/api/accounts/A/workspaces/W/work_pools/filter", "Bearer pnu_sekret")]
    with cloud(401, "{}") as api:
        assert "refuses the key; set PREFECT_API_KEY" in said(api)
        with temporary_settings({PREFECT_API_AUTH_STRING: "admin:sekret"}):
            assert said(api).endswith("which Prefect sends in its place; unset it")
    with cloud(200, "{}") as api:
        assert "another program answers there" in said(api)


def test_the_dashboard_of_prefect_cloud_is_elsewhere_than_its_api(monkeypatch):
    with cloud(200, "[]") as api, temporary_settings({PREFECT_API_URL: api}), served() as address:
        assert address == "https://app.example.org/account/A/workspace/W"
    assert dashboard_of("http://me:sekret@127.0.0.1:4200/api") == "http://***@127.0.0.1:4200"


def test_a_worker_of_prefect_cloud_is_given_its_api(monkeypatch):
    worker = StandIn()
    monkeypatch.setattr(service, "WORKER", worker)
    monkeypatch.setattr(service, "_wait", lambda *_: None)
    with cloud(200, "[]") as api, temporary_settings({PREFECT_API_URL: api}):
        assert service.up("mine") == "https://app.example.org/account/A/workspace/W"
    assert worker.environment["PREFECT_API_URL"] == api


class StandIn:
    """A worker that is told to start, and does not."""

    def is_alive(self):
        return False

    def start(self, *_, details, environment):
        self.known, self.environment = details, environment

    def details(self):
        return self.known


def test_a_client_of_our_own_server_knows_its_password():
    with (
        answering(200, VERSION, password="admin:right") as address,
        temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "admin:right"}),
        temporary_settings(own_settings(f"{address}/api")),
    ):
        require_answer(f"{address}/api")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://127.0.0.1:{closed}/api", "must answer, but does not; start it, or unset"),
        ("http://admin:sekret@127.0.0.1:{closed}/api", "://***@127.0.0.1"),
        ("https://127.0.0.1:{open}/api", "it does not speak TLS"),
        ("ftp://127.0.0.1/api", "begins with http:// or https:// and ends with /api"),
        ("127.0.0.1:4200/api", "begins with http:// or https:// and ends with /api"),
    ],
)
def test_an_address_at_which_nothing_answers_is_told(address, sentence):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with answering(200, VERSION) as other:
        known = {"closed": port, "open": other.rpartition(":")[2]}
        assert sentence in said(address.format_map(known))


def test_errors_in_the_block_are_told_with_the_log_of_our_own_server():
    log = (
        "INFO\nsqlalchemy.exc.OperationalError: (sqlite3.OperationalError) disk I/O error\n[SQL: x]"
    )
    with answering(500, "{}") as address, pytest.raises(DotpipeError) as caught:
        require_answer(f"{address}/api", lambda: log)
    assert str(caught.value) == (
        f"the Prefect server at {address}/api fails with 500: sqlalchemy.exc.OperationalError: "
        "(sqlite3.OperationalError) disk I/O error; make room for Prefect's database, or set "
        "PREFECT_HOME to a folder with room, and no limit on the size of files (ulimit -f)"
    )


def test_a_client_that_compares_versions_first_is_told_by_its_cause():
    refused = RuntimeError("Failed to reach API at http://127.0.0.1:4200/api")
    refused.__cause__ = httpx.ConnectError("Connection refused")
    with (
        pytest.raises(DotpipeError, match="must answer, but does not"),
        explained("http://127.0.0.1:4200/api"),
    ):
        raise refused


def test_errors_of_others_in_the_block_stay_as_they_are():
    request = httpx.Request("GET", "https://hub.example.org/weights")
    hub = httpx.ConnectError("away", request=request)
    for error in (hub, RuntimeError("out of memory"), ValueError("no number")):
        with pytest.raises(type(error)) as caught, explained("http://127.0.0.1:4200/api"):
            raise error
        assert caught.value is error


def test_the_last_words_of_a_log_are_its_last_error_without_secrets():
    log = "start\n  File x\nOSError: cannot reach postgresql://me:sekret@db/x\n(Background on this)"
    assert last_words(log) == "OSError: cannot reach postgresql://***@db/x"
    assert last_words("") == "nothing"
    assert without_secrets("s3://bucket/a@b") == "s3://bucket/a@b"
