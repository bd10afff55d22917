"""What the Hub answers when it refuses, is busy or away, in sentences with a remedy."""

import io
import logging
import traceback

import pytest
from huggingface_hub.errors import HfHubHTTPError
from servers.hub_server import SIGNATURE

from tasks.io.errors import AccessRefused, StoreAway, StoreFull, StoreRefused, can_heal
from tasks.io.hub import NotTaken, Repository, answer_of


@pytest.fixture
def repository(hub):
    made = Repository.of("hf://datasets/org/faces")
    made.create(private=False)
    return made


@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "504", "lost"])
def test_what_may_pass_is_asked_again(hub, repository, impatient, fault):
    faults = iter([fault, fault])
    hub.choose = lambda _: next(faults, None)
    assert repository.state().files
    assert next(faults, None) is None


@pytest.mark.parametrize("fault", ["429", "503", "lost"])
def test_what_does_not_pass_is_told_and_may_be_tried_later(hub, repository, impatient, fault):
    hub.choose = lambda asked: fault if asked.method == "GET" else None
    with pytest.raises(
        StoreAway, match=r"^hf://datasets/org/faces (gave an error: |cannot be)"
    ) as e:
        repository.state()
    assert can_heal(e.value)
    assert hub.address not in str(e.value)


@pytest.mark.parametrize(
    ("fault", "kind", "remedy"),
    [
        ("402", StoreFull, "make room there, or ask for more"),
        ("403", AccessRefused, r"HF_TOKEN .* or run `hf auth login`"),
        ("409", StoreRefused, "somebody else changes it now: run `dotpipe push` again"),
        ("412", StoreRefused, "somebody else has changed it meanwhile: run `dotpipe push` again"),
        ("413", StoreRefused, "with larger shards"),
        ("400", NotTaken, "correct what it says, and run `dotpipe push` again"),
        ("422", NotTaken, "correct what it says, and run `dotpipe push` again"),
    ],
)
def test_what_no_repetition_mends_is_told_once_with_its_remedy(
    hub, repository, fault, kind, remedy
):
    asked = len(hub.asked)
    hub.choose = lambda _: fault
    with pytest.raises(kind, match=f"^hf://datasets/org/faces was refused: {fault} .*{remedy}"):
        repository.state()
    assert len(hub.asked) == asked + 1


def test_a_machine_without_a_hub_is_told(hub, repository, impatient, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        StoreAway, match=r"^hf://datasets/org/faces cannot be reached: ConnectError$"
    ):
        repository.state()


@pytest.fixture
def told():
    """What the client logs."""
    text, logger = io.StringIO(), logging.getLogger("huggingface_hub")
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("part_bytes", [None, 4])
@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("s3", AccessRefused, r"was refused: 403 SignatureDoesNotMatch: The signature is another;"),
        ("503", StoreAway, r"gave an error: 503 a fault of the tests"),
        ("lost", StoreAway, r"cannot be reached: "),
    ],
)
def test_nothing_that_is_told_has_a_signed_address(
    hub, repository, tmp_path, told, part_bytes, fault, kind, says
):
    hub.part_bytes = part_bytes
    hub.choose = lambda asked: fault if asked.path.startswith("/blobs/") else None
    (tmp_path / "a.tar").write_bytes(b"many bytes")
    with pytest.raises(kind, match=says) as caught:
        repository.send({"a.tar": tmp_path / "a.tar"})
    text = "".join(traceback.format_exception(caught.value)) + told.getvalue()
    assert hub.count("PUT /blobs") > 0
    assert fault == "s3" or "/blobs/org/faces/" in told.getvalue()
    for secret in (*SIGNATURE.split("&"), "AKIAOFTHETESTS", "CanonicalRequest"):
        assert secret not in text


def test_addresses_in_what_the_hub_says_are_left_out():
    import httpx

    url = f"https://store.example/a?{SIGNATURE}"
    answer = httpx.Response(400, request=httpx.Request("PUT", url))
    error = HfHubHTTPError("no", response=answer, server_message=f"cannot write {url}, so no")
    told = answer_of(error, "hf://datasets/org/faces")
    assert str(told).startswith("hf://datasets/org/faces was refused: 400 cannot write …")
    assert "store.example" not in str(told)


def test_errors_of_others_are_left_alone():
    assert answer_of(ValueError("mine"), "hf://datasets/org/faces") is None
