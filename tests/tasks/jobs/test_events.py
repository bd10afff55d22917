"""Events: who is told what, and that telling harms nobody."""

from types import SimpleNamespace

import pytest
from prefect.events import utilities
from prefect.exceptions import EventTooLarge

from tasks.jobs import Job, Outcome, Subject, events
from tasks.jobs.events import tell_failure, tell_run, told

OUTCOME = Outcome(
    images=6, refused={"damaged": 1}, seconds={"read": 1.0, "write": 2.0}, device="cpu of here"
)


class Unit(Job):
    """A job about a shard."""

    def subject(self):
        return Subject("faces", "shard-000003", "0123abcd", (0.0, 0.5))


@pytest.fixture
def emitted(monkeypatch):
    """Has a run be under way, and collects what is emitted."""
    sent = []

    def emit(event, resource, related, payload):
        sent.append((event, resource, related, payload))

    monkeypatch.setattr(events, "FlowRunContext", SimpleNamespace(get=object))
    monkeypatch.setattr(events, "emit_event", emit)
    return sent


def test_a_shard_that_is_made_is_told_with_its_numbers(emitted):
    assert told("enhanced", Unit(workspace=""), OUTCOME) is OUTCOME
    ((event, resource, related, payload),) = emitted
    assert event == "dotpipe.shard.enhanced"
    assert resource == {
        "prefect.resource.id": "dotpipe.shard.faces.shard-000003",
        "prefect.resource.name": "faces shard-000003",
        "dotpipe.data-set": "faces",
        "dotpipe.shard": "shard-000003",
        "dotpipe.operator": "0123abcd",
    }
    assert [(r["prefect.resource.role"], r["prefect.resource.id"]) for r in related] == [
        ("data-set", "dotpipe.data-set.faces"),
        ("operator", "dotpipe.operator.0123abcd"),
    ]
    assert payload == {
        "images": 6,
        "refused": {"damaged": 1},
        "seconds": {"read": 1.0, "write": 2.0},
        "images_per_second": 2.0,
        "device": "cpu of here",
        "remarks": {},
        "alphas": [0.0, 0.5],
    }


@pytest.mark.parametrize("state", ["found", "busy"])
def test_what_another_run_makes_is_not_told(emitted, state):
    told("enhanced", Unit(workspace=""), Outcome(images=0, state=state))
    assert emitted == []


def test_a_job_that_is_about_no_shard_is_not_told(emitted):
    told("measured", Job(workspace=""), OUTCOME)
    tell_failure(Job(workspace=""), OSError("the disk is away"), "store.py:7")
    assert emitted == []


def test_a_failure_is_told_with_its_reason_cut_to_what_an_event_holds(emitted):
    tell_failure(Unit(workspace=""), OSError("x" * 5000), "store.py:7")
    ((event, _, _, payload),) = emitted
    assert event == "dotpipe.shard.failed"
    assert payload == {
        "error": "OSError",
        "message": "x" * 1000,
        "place": "store.py:7",
        "alphas": [0.0, 0.5],
    }


def test_a_run_is_told_by_the_name_of_its_configuration(emitted):
    tell_run("stalled", "faces", {"seconds": 1800})
    assert emitted == [
        (
            "dotpipe.run.stalled",
            {"prefect.resource.id": "dotpipe.run.faces", "prefect.resource.name": "faces"},
            [],
            {"seconds": 1800},
        )
    ]


def test_outside_a_run_nobody_is_told_as_prefect_would_start_a_server_for_it(monkeypatch):
    monkeypatch.setattr(events, "emit_event", lambda *_, **__: pytest.fail("emitted"))
    assert told("made", Unit(workspace=""), OUTCOME) is OUTCOME


def test_an_event_that_is_too_large_harms_no_shard(emitted, monkeypatch):
    def refuse(*_, **__):
        raise EventTooLarge(2, 1)

    monkeypatch.setattr(events, "emit_event", refuse)
    assert told("made", Unit(workspace=""), OUTCOME) is OUTCOME
    assert emitted == []


def test_a_server_that_cannot_be_told_harms_no_shard(emitted, monkeypatch):
    class Broken:
        @classmethod
        def instance(cls):
            raise ConnectionError("nobody listens")

    monkeypatch.setattr(utilities, "EventsWorker", Broken)
    monkeypatch.setattr(events, "emit_event", utilities.emit_event)
    assert told("made", Unit(workspace=""), OUTCOME) is OUTCOME
    assert emitted == []
