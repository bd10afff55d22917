"""What every test may ask for."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest_plugins = ["flow_fixtures", "servers.browser", "task_fixtures"]


def pytest_configure(config):
    """Has Ctrl-C reach tests and what they start; pytest-xdist's processes ignore it."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Has the garbage collector go past what was imported and collected, which stays to the end.

    These are millions of objects, and a full collection takes more than a second.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    """Has the collector see all again; at the end some libraries look for what refers to them."""
    gc.unfreeze()


@pytest.fixture
def rng() -> torch.Generator:
    """The only source of randomness in a test."""
    return torch.Generator().manual_seed(20230604)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Photographs and weights that are no part of the project; skips where they are not."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DOTPIPE_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; DOTPIPE_TEST_DATA names the folder")
    return folder


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users may read too; pytest's own are for one user."""
    with tempfile.TemporaryDirectory(prefix="shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a real S3 endpoint over HTTP, on this machine."""
    from servers.s3_server import moto_server

    with moto_server() as address:
        yield address


@pytest.fixture
def bucket(s3_endpoint):
    """An empty bucket there, which the environment leads to."""
    from servers.s3_server import fresh_bucket, using

    with fresh_bucket(s3_endpoint) as empty, using(s3_endpoint):
        yield empty


@pytest.fixture
def proxy(bucket):
    """A proxy before the bucket's endpoint, which the environment leads to; it can fail."""
    from servers.s3_server import faulty, using

    with faulty(bucket.endpoint) as before, using(before.address):
        yield before


@pytest.fixture
def hub():
    """A stand-in of the Hub without any repository, which the environment leads to."""
    from servers.hub_server import hub_server, using

    with hub_server() as empty, using(empty):
        yield empty


@pytest.fixture
def impatient(monkeypatch):
    """Requests to the Hub are repeated at once."""
    monkeypatch.setattr("tasks.io.hub.refusals._PAUSE_S", 0.0)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
