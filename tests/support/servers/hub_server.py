"""A stand-in of the Hub on this machine: what its real client asks of it, and faults as told.

It speaks repositories of data sets, the tree, small files, large ones by the basic and the
multipart transfer of Git LFS, commits, and the YAML of cards. It does not speak Xet.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest

TOKEN = "hf_of_the_tests"

SIGNATURE = "X-Amz-Credential=AKIAOFTHETESTS&X-Amz-Signature=0123abcd"
"""What the addresses end with that large files are sent to: whoever has it may write there."""

_REFUSED_BY_S3 = f"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The signature is another.</Message>
<AWSAccessKeyId>AKIAOFTHETESTS</AWSAccessKeyId>
<CanonicalRequest>PUT /blobs {SIGNATURE.replace("&", "&amp;")}</CanonicalRequest></Error>"""

_LARGE = re.compile(r"\.(tar|parquet|png|webp|bin)$")
"""What a repository's first .gitattributes gives to LFS."""


class Blob(NamedTuple):
    """A file of a commit."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        """What Git calls it."""
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


class Commit(NamedTuple):
    """A commit and all files of it."""

    sha: str
    title: str
    files: Mapping[str, Blob]


@dataclass
class HubRepository:
    """A repository: its commits, and large files that were sent, in a commit or not."""

    private: bool = False
    commits: list[Commit] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """What everybody sees now."""
        return {path: blob.data for path, blob in self.commits[-1].files.items()}

    def add(self, title: str, files: Mapping[str, Blob]) -> Commit:
        """Make a commit."""
        text = f"{title} {len(self.commits)} {sorted((p, b.oid) for p, b in files.items())}"
        commit = Commit(hashlib.sha1(text.encode()).hexdigest(), title, dict(files))
        self.commits.append(commit)
        return commit

    def edit(self, **files: bytes | None) -> None:
        """Make a commit as a person does in a browser; None removes a file."""
        changed = {path: Blob(data, False) for path, data in files.items() if data is not None}
        kept = {p: b for p, b in self.commits[-1].files.items() if files.get(p, b) is not None}
        self.add("Edit", {**kept, **changed})


class Asked(NamedTuple):
    """A request: its method and path."""

    method: str
    path: str


@dataclass
class Hub:
    """All repositories, what was asked, and which request meets which fault."""

    address: str = ""
    repositories: dict[str, HubRepository] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    choose: Callable[[Asked], str | None] = lambda _asked: None
    """Names the fault of a request: a status; ``s3``, a refusal by a store behind the Hub; or
    ``lost``, done without an answer."""
    part_bytes: int | None = None
    """Size of the parts of large files; None for one request each."""
    page: int = 1000
    """Most entries of one answer on a tree."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def count(self, start: str) -> int:
        """How many requests began so, as in ``PUT /blobs``."""
        return sum(f"{each.method} {each.path}".startswith(start) for each in self.asked)


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Answer(NamedTuple):
    """What a request gets."""

    body: bytes = b""
    headers: Mapping[str, str] = {}
    status: int = 200

    @classmethod
    def of(cls, value: Any, **headers: str) -> "Answer":
        return cls(json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class _Handler(BaseHTTPRequestHandler):
    """Each request is answered by the first route that fits."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._chunks()
        asked = Asked(self.command, unquote(urlsplit(self.path).path))
        with self.hub.lock:
            self.hub.asked.append(asked)
            fault = self.hub.choose(asked)
            answer = self._fault(fault) if fault and fault != "lost" else self._answered(asked)
        if fault == "lost":
            self.close_connection = True
            return
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do  # noqa: N815 - as the server calls them

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _chunks(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return b""
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _fault(self, fault: str) -> Answer:
        if fault == "s3":
            return Answer(_REFUSED_BY_S3.encode(), {"Content-Type": "application/xml"}, 403)
        body = {"error": f"a fault of the tests, {fault}"}
        return Answer.of(body, **({"Retry-After": "0"} if fault == "429" else {}))._replace(
            status=int(fault)
        )

    def _answered(self, asked: Asked) -> Answer:
        try:
            for pattern, route in _ROUTES:
                found = re.fullmatch(pattern, f"{asked.method} {asked.path}")
                if found:
                    return route(self, **found.groupdict())
            raise Refused(404, "", f"the stand-in has no {asked}")
        except Refused as refused:
            headers = {"X-Error-Message": refused.message}
            headers |= {"X-Error-Code": refused.code} if refused.code else {}
            body = {"error": refused.message}
            return Answer.of(body, **headers)._replace(status=refused.status)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, text in answer.headers.items():
            self.send_header(name, text)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    @property
    def is_known(self) -> bool:
        """Whether the request has the token."""
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name: str, *, writes: bool = False) -> HubRepository:
        """A repository that may be seen, or written to."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self.is_known):
            raise Refused(404 if self.is_known else 401, "RepoNotFound", "Repository not found")
        if writes and not self.is_known:
            raise Refused(403, "", "You don't have the rights to write here")
        return found

    def commit(self, name: str, revision: str) -> Commit:
        """The commit that a revision names."""
        commits = self.repository(name).commits
        for commit in reversed(commits):
            if revision in ("main", commit.sha):
                return commit
        raise Refused(404, "RevisionNotFound", "Invalid rev id")


def _create(ask: _Handler) -> Answer:
    wanted = json.loads(ask.body)
    name = f"{wanted['organization']}/{wanted['name']}"
    if not ask.is_known:
        raise Refused(401, "", "Invalid credentials in Authorization header")
    if wanted["organization"] != "org":
        raise Refused(403, "", "You don't have the rights to create a dataset under this namespace")
    answer = Answer.of({"url": f"{ask.hub.address}/datasets/{name}"})
    if name in ask.hub.repositories:
        return answer._replace(status=409)
    made = HubRepository(private=wanted.get("visibility") == "private")
    made.add("initial commit", {".gitattributes": Blob(b"*.tar filter=lfs\n", False)})
    ask.hub.repositories[name] = made
    return answer


def _info(ask: _Handler, name: str, revision: str | None = None) -> Answer:
    commit = ask.commit(name, revision or "main")
    private = ask.repository(name).private
    return Answer.of(
        {"_id": "0", "id": name, "sha": commit.sha, "private": private, "siblings": []}
    )


def _entry(path: str, blob: Blob | None) -> dict[str, Any]:
    if blob is None:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    entry = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.data)}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 130}
    return entry


def _entries(commit: Commit) -> dict[str, Blob | None]:
    """All files, and the folders that they make."""
    found: dict[str, Blob | None] = dict(commit.files)
    for path in commit.files:
        parts = path.split("/")
        found |= {"/".join(parts[:n]): None for n in range(1, len(parts))}
    return dict(sorted(found.items()))


def _tree(ask: _Handler, name: str, revision: str, folder: str = "") -> Answer:
    query = parse_qs(urlsplit(ask.path).query)
    recursive, start = query.get("recursive") == ["true"], int(query.get("cursor", ["0"])[0])
    entries, top = _entries(ask.commit(name, revision)), f"{folder}/" if folder else ""
    if folder and folder not in entries:
        raise Refused(404, "EntryNotFound", f"{folder} does not exist")
    found = [
        _entry(path, blob)
        for path, blob in entries.items()
        if path.startswith(top) and (recursive or "/" not in path[len(top) :])
    ]
    end, headers = start + ask.hub.page, {}
    if end < len(found):
        rest = urlsplit(ask.path).path
        following = f"{ask.hub.address}{rest}?recursive={str(recursive).lower()}&cursor={end}"
        headers["Link"] = f'<{following}>; rel="next"'
    return Answer.of(found[start:end], **headers)


def _paths_info(ask: _Handler, name: str, revision: str) -> Answer:
    wanted = parse_qs(ask.body.decode()).get("paths", [])
    entries = _entries(ask.commit(name, revision))
    return Answer.of([_entry(path, entries[path]) for path in wanted if path in entries])


def _preupload(ask: _Handler, name: str, revision: str) -> Answer:
    now = ask.commit(name, revision).files
    ask.repository(name, writes=True)
    files = []
    for each in json.loads(ask.body)["files"]:
        path, there = each["path"], now.get(each["path"])
        large = bool(_LARGE.search(path)) or each["size"] > 10 << 20
        oid = None if there is None else there.sha256 if there.large else there.oid
        mode = "lfs" if large else "regular"
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Answer.of({"files": files})


def _batch(ask: _Handler, name: str) -> Answer:
    repository, objects = ask.repository(name, writes=True), []
    for wanted in json.loads(ask.body)["objects"]:
        entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in repository.blobs:
            place = f"{ask.hub.address}/blobs/{name}/{wanted['oid']}"
            upload: dict[str, Any] = {"href": f"{place}?{SIGNATURE}"}
            if ask.hub.part_bytes is not None:
                parts = range(1, -(-wanted["size"] // ask.hub.part_bytes) + 1)
                upload["header"] = {"chunk_size": str(ask.hub.part_bytes)}
                upload["header"] |= {str(part): f"{place}/{part}?{SIGNATURE}" for part in parts}
            verify = {"href": f"{ask.hub.address}/verify/{name}"}
            entry["actions"] = {"upload": upload, "verify": verify}
        objects.append(entry)
    return Answer.of({"transfer": "basic", "objects": objects})


def _blob(ask: _Handler, name: str, oid: str, part: str | None = None) -> Answer:
    blobs = ask.hub.repositories[name].blobs
    if part is not None:
        blobs[f"{oid}/{part}"] = ask.body
    elif hashlib.sha256(ask.body).hexdigest() != oid:
        raise Refused(400, "", "the digest of what was sent is another")
    else:
        blobs[oid] = ask.body
    return Answer(headers={"ETag": f'"{len(ask.body)}"'})


def _completed(ask: _Handler, name: str, oid: str) -> Answer:
    blobs = ask.hub.repositories[name].blobs
    parts = [f"{oid}/{part['partNumber']}" for part in json.loads(ask.body)["parts"]]
    data = b"".join(blobs.pop(part) for part in parts)
    if hashlib.sha256(data).hexdigest() != oid:
        raise Refused(400, "", "the digest of what was sent is another")
    blobs[oid] = data
    return Answer.of({})


def _verify(ask: _Handler, name: str) -> Answer:
    wanted = json.loads(ask.body)
    data = ask.repository(name, writes=True).blobs.get(wanted["oid"], b"")
    if len(data) != wanted["size"]:
        raise Refused(400, "", "the size of what was sent is another")
    return Answer.of({})


def _commit(ask: _Handler, name: str, revision: str) -> Answer:
    repository = ask.repository(name, writes=True)
    now = ask.commit(name, revision)
    files, title = dict(now.files), ""
    for line in ask.body.splitlines():
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "header":
            title = value["summary"]
            if value.get("parentCommit", now.sha) != repository.commits[-1].sha:
                raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
        elif key == "file":
            files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            if value["oid"] not in repository.blobs:
                raise Refused(400, "", "LFS pointer pointed to a file that does not exist")
            files[value["path"]] = Blob(repository.blobs[value["oid"]], True)
        elif files.pop(value["path"], None) is None:
            raise Refused(404, "EntryNotFound", "A file with this name doesn't exist")
    made = repository.add(title, files)
    url = f"{ask.hub.address}/datasets/{name}/commit/{made.sha}"
    return Answer.of({"commitUrl": url, "commitOid": made.sha, "success": True})


def _resolve(ask: _Handler, name: str, revision: str, path: str) -> Answer:
    commit = ask.commit(name, revision)
    blob = commit.files.get(path)
    if blob is None:
        raise Refused(404, "EntryNotFound", "Entry not found")
    mark = blob.sha256 if blob.large else blob.oid
    headers = {"ETag": f'"{mark}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if ask.command == "HEAD":
        return Answer(headers={**headers, "Content-Length": str(len(blob.data))})
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", ask.headers.get("Range") or "")
    if asked is None:
        return Answer(blob.data, headers)
    start, end = int(asked[1]), min(int(asked[2] or len(blob.data)), len(blob.data) - 1)
    if start >= len(blob.data):
        raise Refused(416, "", "Range not satisfiable")
    headers["Content-Range"] = f"bytes {start}-{end}/{len(blob.data)}"
    return Answer(blob.data[start : end + 1], headers, 206)


def _validated(ask: _Handler) -> Answer:
    import yaml

    head = json.loads(ask.body)["content"].split("---\n")[1]
    try:
        yaml.safe_load(head)
    except yaml.YAMLError as error:
        return Answer.of({"errors": [{"message": str(error)}], "warnings": []})._replace(status=400)
    return Answer.of({"errors": [], "warnings": []})


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_OF_DATA = rf"/api/datasets/{_NAME}"
_REVISION = r"(?P<revision>[^/]+)"

_ROUTES: list[tuple[str, Callable[..., Answer]]] = [
    ("POST /api/repos/create", _create),
    ("POST /api/validate-yaml", _validated),
    (rf"GET {_OF_DATA}", _info),
    (rf"GET {_OF_DATA}/revision/{_REVISION}", _info),
    (rf"GET {_OF_DATA}/tree/{_REVISION}(?:/(?P<folder>.+))?", _tree),
    (rf"POST {_OF_DATA}/paths-info/{_REVISION}", _paths_info),
    (rf"POST {_OF_DATA}/preupload/{_REVISION}", _preupload),
    (rf"POST {_OF_DATA}/commit/{_REVISION}", _commit),
    (rf"POST /datasets/{_NAME}.git/info/lfs/objects/batch", _batch),
    (rf"PUT /blobs/{_NAME}/(?P<oid>\w+)(?:/(?P<part>\d+))?", _blob),
    (rf"POST /blobs/{_NAME}/(?P<oid>\w+)", _completed),
    (rf"POST /verify/{_NAME}", _verify),
    (rf"(?:GET|HEAD) /datasets/{_NAME}/resolve/{_REVISION}/(?P<path>.+)", _resolve),
]


@contextmanager
def hub_server() -> Iterator[Hub]:
    """An empty Hub, in a thread of this process."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def variables(hub: Hub) -> dict[str, str]:
    """The environment of somebody whose Hub is this one."""
    return {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def using(hub: Hub) -> Iterator[None]:
    """Everything that asks the Hub in the block asks this one."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    kind = fsspec.get_filesystem_class("hf")
    kind.clear_instance_cache()
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables(hub).items():
            patch.setenv(name, text)
        patch.setattr(constants, "ENDPOINT", hub.address)
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        try:
            yield
        finally:
            close_session()
            kind.clear_instance_cache()
