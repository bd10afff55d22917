"""What the Hub answers when it refuses, is busy or away, in sentences with a remedy."""

import pytest

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
        ("409", StoreRefused, "somebody else changes it now: run again"),
        ("412", StoreRefused, "somebody else has changed it meanwhile: run again"),
        ("413", StoreRefused, "with larger shards"),
        ("400", NotTaken, "correct what it says, and run again"),
        ("422", NotTaken, "correct what it says, and run again"),
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


def test_errors_of_others_are_left_alone():
    assert answer_of(ValueError("mine"), "hf://datasets/org/faces") is None
