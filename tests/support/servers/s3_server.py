"""A real S3 endpoint over HTTP on this machine, and a proxy before it that fails as told."""

import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.config
import fsspec
import pytest
from fsspec.asyn import sync

REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class Request(NamedTuple):
    """What the proxy decides by.

    Number of the request, from 1 on, method, path, whose key, whether the request asks that
    there be no such object, and who pays for it if not the owner.
    """

    number: int
    method: str
    path: str
    signer: str = ""
    creates: bool = False
    payer: str | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method in ("PUT", "POST", "DELETE")


RANDOM_FAULTS = ("500", "503", "reset", "lost", "cut", "slow", "upload")
"""An error of the server's; SlowDown; a reset before anything is done; an answer that is lost
after all was done; an answer, or an upload, cut in the middle; an answer that comes late."""

_ANSWERS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "unknown key": (403, "InvalidAccessKeyId", "The access key does not exist in our records."),
    "contested": (409, "ConditionalRequestConflict", "A conflicting operation is under way."),
    "unconditional": (501, "NotImplemented", "A header you provided is not implemented."),
}

Chooser = Callable[[Request], str | None]


def well(_request: Request) -> None:
    """No fault at all."""


def unconditional(request: Request) -> str | None:
    """Knows no conditional writes, as some servers do."""
    return "unconditional" if request.creates else None


def unnamed(answer: bytes) -> bytes:
    """Leaves out which condition does not hold, as most servers do; AWS's names it."""
    return re.sub(b"<Condition>.*?</Condition>", b"", answer)


def sometimes(rate: float, seed: int = 0, faults: tuple[str, ...] = RANDOM_FAULTS) -> Chooser:
    """Fails a share of all requests, in every way there is."""
    draws, lock = random.Random(seed), threading.Lock()

    def choose(_request: Request) -> str | None:
        with lock:
            return draws.choice(faults) if draws.random() < rate else None

    return choose


@dataclass
class Proxy:
    """Stands before a server; ``choose`` names a request's fault, ``edit`` changes its answer."""

    address: str
    choose: Chooser = well
    edit: Callable[[bytes], bytes] = bytes
    faults: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, method: str, path: str, headers: Message) -> str | None:
        """Count a request; the fault it gets."""
        signature = headers.get("Authorization") or ""
        signer = signature.partition("Credential=")[2].partition("/")[0]
        creates = "If-None-Match" in headers
        with self.lock:
            payer = headers.get("x-amz-request-payer")
            request = Request(len(self.requests) + 1, method, path, signer, creates, payer)
            self.requests.append(request)
        fault = self.choose(request)
        if fault is not None:
            with self.lock:
                self.faults[fault] += 1
        return fault


@contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    """A proxy before the server at an address."""
    host, port = urlsplit(upstream).hostname, urlsplit(upstream).port

    class Handler(_Handler):
        server_at = (host, port)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """Connections that break are what this is for."""

        def shutdown_request(self, request: Any) -> None:
            """No farewell, or a reset would not be one."""
            self.close_request(request)

    with Server(("127.0.0.1", 0), Handler) as server:
        Handler.proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Handler.proxy
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    protocol_version = "HTTP/1.1"
    server_at: tuple[str | None, int | None]
    proxy: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        parsed = bool(self.raw_requestline) and self.parse_request()
        self.close_connection = True
        if not parsed:
            return
        fault = self.proxy.note(self.command, self.path, self.headers)
        length = int(self.headers.get("Content-Length") or 0)
        if fault == "upload":
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self.rfile.read(length)
        if fault == "reset":
            self._reset()
        elif fault in _ANSWERS:
            self._refuse(*_ANSWERS[fault])
        else:
            if fault == "slow":
                time.sleep(0.3)
            self._pass_on(body, fault)

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        upstream = HTTPConnection(*self.server_at, timeout=60)
        try:
            headers = {name: text for name, text in self.headers.items() if name != "Expect"}
            upstream.request(self.command, self.path, body, {**headers, "Connection": "close"})
            answer = upstream.getresponse()
            data = self.proxy.edit(answer.read())
        except (OSError, HTTPException):
            self._reset()
            return
        finally:
            upstream.close()
        if fault == "lost":
            self._reset()
            return
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        unsent = {"connection", "transfer-encoding"}
        if self.command != "HEAD":
            unsent.add("content-length")
            lines.append(f"Content-Length: {len(data)}")
        lines += [
            f"{name}: {text}" for name, text in answer.getheaders() if name.lower() not in unsent
        ]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        if fault == "cut":
            self._send(head + data[: len(data) // 2])
            self._reset()
        else:
            self._send(head + data)

    def _refuse(self, status: int, code: str, message: str) -> None:
        text = "" if self.command == "HEAD" else _REFUSAL.format(code, message)
        head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\n"
        self._send(f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())

    def _send(self, data: bytes) -> None:
        with suppress(OSError):
            self.wfile.write(data)
            self.wfile.flush()

    def _reset(self) -> None:
        """Break the connection as a crashed machine would, without a farewell."""
        with suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_REFUSAL = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message>'
    "<RequestId>1</RequestId></Error>"
)


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a server of S3 in a thread of this process."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@dataclass(frozen=True)
class Bucket:
    """A bucket, and a client of another make to look into it."""

    endpoint: str
    name: str
    client: Any

    @property
    def url(self) -> str:
        """What a configuration says."""
        return f"s3://{self.name}"

    def keys(self, prefix: str = "") -> list[str]:
        """All objects."""
        return [*self.versions(prefix)]

    def files(self, prefix: str = "") -> dict[str, bytes]:
        """All objects below a folder with their bytes, by their paths below it."""
        return {key.removeprefix(prefix).lstrip("/"): self.read(key) for key in self.keys(prefix)}

    def versions(self, prefix: str = "") -> dict[str, tuple[str, object]]:
        """All objects; one that is written again has another version."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        found = (entry for page in pages for entry in page.get("Contents", []))
        return {entry["Key"]: (entry["ETag"], entry["LastModified"]) for entry in found}

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, data: bytes = b"content", **options: str) -> None:
        """Make an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data, **options)

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy a local folder; the URL of the copy."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{prefix}"

    def uploads(self) -> list[str]:
        """Keys of multipart uploads that have neither been completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in found.get("Uploads", [])]


@contextmanager
def fresh_bucket(endpoint: str) -> Iterator[Bucket]:
    """An empty bucket of its own."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    name = f"bucket-{random.SystemRandom().randrange(1 << 48):012x}"
    client.create_bucket(Bucket=name)
    try:
        yield Bucket(endpoint, name, client)
    finally:
        client.close()


def variables(endpoint: str) -> dict[str, str]:
    """The environment of somebody whose S3 is at an address."""
    return {
        **KEYS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def using(endpoint: str) -> Iterator[None]:
    """Everything that opens S3 in the block opens it there; its connections end with it."""
    hang_up()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
            patch.delenv(name, raising=False)
        for name, text in variables(endpoint).items():
            patch.setenv(name, text)
        try:
            yield
        finally:
            hang_up()


def hang_up() -> None:
    """Close what s3fs keeps open; fsspec would hand out the same connections again."""
    kind = fsspec.get_filesystem_class("s3")
    for system in list(kind._cache.values()):
        if system._s3 is not None:
            sync(system.loop, system._s3creator.__aexit__, None, None, None)
            system._s3 = None
    kind.clear_instance_cache()


@contextmanager
def moto_process() -> Iterator[str]:
    """The address of a server of S3 in a process of its own, for those who measure time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
