"""One step: its window, its failures, and what is told while it goes on.

Now and then one of these tests takes a minute, another one each time. It waits for an answer of
the Prefect server, whose event loop stands still meanwhile: stack samples 25 s apart show it at
one line of its task run recorder, without any use of the processor, while a thread of the server
is in a call of SQLite. That call ends after the 60 s for which Prefect lets SQLite wait for a
lock (``PRAGMA busy_timeout``), and then all goes on. Prefect has no setting for it. Nothing else
of it is known to be special to these tests: likely they meet it because they have many task
runs in a short time. Seven times over in one session, they met it once.
"""

import errno
import gc
import json
import re
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect import flow, task
from recording_screen import RecordingScreen

from flows.runners.lanes import Threads
from flows.steps import step_watch, steps
from flows.steps.reports import StepReport, StepRun
from flows.steps.screen import screen
from flows.steps.steps import run_step
from tasks.io.errors import (
    AccessRefused,
    CorpusError,
    ShardDamaged,
    ShardsFailed,
    StepMissing,
    StoreAway,
    WeightsMissing,
    can_heal,
)
from tasks.jobs import Job, Outcome, Planned
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import advance, say

QUICK = SHARD_POLICY | {"retry_delay_seconds": [0, 0, 0]}

pytestmark = pytest.mark.usefixtures("server")


class Unit(Job):
    """One of some units of work."""

    number: int


@contextmanager
def shown_on(view):
    token = screen.set(view)
    try:
        yield view
    finally:
        screen.reset(token)


def units(count):
    return [
        Planned(f"unit-{number}", 3, Unit(workspace="", number=number)) for number in range(count)
    ]


def run(work, planned, at_once=2, step="try", tell_patience=False, lanes=None, **told):
    """Run a step in a flow of its own; its tasks do ``work(number)``, or also tell patience."""
    named = StepRun(step, run="tried", max_bad_fraction=0.08)

    @task(**QUICK)
    def one(job: Unit) -> Outcome:
        known = (job.number, job.patient) if tell_patience else (job.number,)
        return work(*known) or Outcome(images=3)

    @flow
    def alone() -> StepReport:
        return run_step(named, one, planned, lanes or Threads(at_once), **told)

    return alone()


def test_no_more_units_are_under_way_than_the_window_is_wide():
    lock, under_way, seen = threading.Lock(), Counter(), []

    def work(_number):
        with lock:
            under_way["now"] += 1
            seen.append(under_way["now"])
        time.sleep(0.05)
        with lock:
            under_way["now"] -= 1

    assert run(work, units(9), at_once=3).made == 9
    assert max(seen) == 3


def test_what_a_plan_says_is_shown_and_logged(caplog):
    def planned():
        say("left out: a folder")
        yield from units(1)

    with shown_on(RecordingScreen()) as view:
        run(lambda _: None, planned())
    assert view.said == ["left out: a folder"]
    assert [r.levelname for r in caplog.records if "left out" in r.message] == ["WARNING"]


def test_units_are_planned_as_the_window_moves_on_and_not_all_at_first():
    planned, ahead = Counter(), []

    def plan():
        for unit in units(8):
            planned["so far"] += 1
            yield unit

    def work(number):
        time.sleep(0.02)
        ahead.append(planned["so far"] - number)

    run(work, plan(), at_once=2)
    assert max(ahead) <= 4


def test_a_shard_that_fails_stops_no_other_and_the_error_names_the_remedy():
    done = []

    def work(number):
        if number == 1:
            raise RuntimeError("the second shard is cursed")
        done.append(number)

    with pytest.raises(ShardsFailed) as failure, shown_on(RecordingScreen()) as view:
        run(work, units(5), step="curse")
    assert sorted(done) == [0, 2, 3, 4]
    sentence = str(failure.value)
    assert sentence.startswith("1 of 5 shards failed in the step 'curse'; the first was unit-1, ")
    assert "RuntimeError at " in sentence
    assert f"{Path(__file__).name}:" in sentence
    assert ": the second shard is cursed. The others are done, and running again takes" in sentence
    assert isinstance(failure.value.__cause__, RuntimeError)
    assert view.notes == ["1 of 5 shards failed"]


def test_a_mistake_that_all_shards_share_stops_the_step():
    begun = []

    def work(number):
        begun.append(number)
        raise CorpusError("nothing here is an image")

    with pytest.raises(CorpusError, match="nothing here is an image"):
        run(work, units(50), at_once=2)
    assert len(begun) <= 3


def test_a_damaged_shard_stops_no_other_and_is_not_tried_again():
    tries = Counter()

    def work(number):
        tries[number] += 1
        if number == 0:
            raise ShardDamaged("the tar must hold other bytes; run `dotpipe repair CONFIG`")

    with pytest.raises(ShardsFailed, match=r"1 of 5 shards failed.*run `dotpipe repair CONFIG`"):
        run(work, units(5))
    assert tries == Counter(range(5))


def test_a_store_that_stays_away_stops_the_step_and_gets_no_notes(monkeypatch):
    begun, noted = [], []
    monkeypatch.setattr(steps, "note_failure", lambda job, *_: noted.append(job))

    def work(number):
        begun.append(number)
        if number not in (0, 2):
            raise StoreAway("s3://b/x cannot be reached: connection refused")

    with pytest.raises(ShardsFailed, match=r"'try' was given up, .* unit-4: s3://b/x cannot be.*"):
        run(work, units(50), at_once=1)
    assert sorted(set(begun)) == list(range(5))
    assert noted == []


def test_errors_of_the_disk_are_tried_again_and_mistakes_are_not():
    tries = Counter()

    def work(number):
        tries[number] += 1
        if number == 1 or (number == 2 and tries[number] < 4):
            raise OSError("the disk is away")
        if number == 3:
            raise ValueError("the same next time")

    with pytest.raises(ShardsFailed, match=r"2 of 4 shards failed"):
        run(work, units(4), at_once=4)
    assert tries == {0: 1, 1: 4, 2: 4, 3: 1}


def test_what_failed_is_told_and_not_that_the_next_unit_waits_for_it():
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            raise RuntimeError("the device is gone")
        if number == 2:
            raise StepMissing("unit 1 must be finished")

    with pytest.raises(ShardsFailed, match=r"2 of 4 .* with RuntimeError at .* device is gone"):
        run(work, units(5), at_once=1)
    assert begun == [0, 1, 2]


def test_images_reach_the_screen_while_their_shard_is_under_way():
    seen = []

    def work(_number):
        for _ in range(3):
            advance(1)
            seen.append(view.images)

    with shown_on(RecordingScreen()) as view:
        run(work, [Planned("done", 4, None), *units(2)], at_once=1, total=10)
    assert seen == [5, 6, 7, 8, 9, 10]
    assert view.begun == [("try", 10)]
    assert view.notes == ["2 of 3 shards made"]


def test_refused_images_are_counted_by_reason_and_told():
    def work(number):
        return Outcome(images=3, refused={"damaged": 1, "empty file": number})

    with shown_on(RecordingScreen()) as view:
        report = run(work, units(3))
    assert report.refused == {"damaged": 3, "empty file": 3}
    assert view.notes == ["3 of 3 shards made, 6 images refused"]


def test_a_step_without_missing_units_says_so_and_submits_nothing():
    with shown_on(RecordingScreen()) as view:
        report = run(lambda number: pytest.fail("submitted"), [Planned("done", 4, None)] * 2)
    assert (len(report.units), report.made, report.images) == (2, 0, 8)
    assert view.notes == ["nothing to do"]
    assert view.images == 8


def test_a_server_that_is_away_stops_no_step(monkeypatch):
    def away(*_, **__):
        raise httpx.ConnectError("away")

    monkeypatch.setattr(step_watch, "_SECONDS_BETWEEN_UPDATES", 0.0)
    monkeypatch.setattr(step_watch, "update_progress_artifact", away)
    report = run(lambda number: None, units(4))
    assert (report.made, report.failures) == (4, [])


def test_progress_is_an_artifact_that_ends_at_a_hundred(artifacts, monkeypatch):
    monkeypatch.setattr(step_watch, "_SECONDS_BETWEEN_UPDATES", 0.0)
    seen = []

    def work(number):
        if number == 3:
            (mine,) = (a for a in artifacts() if a["key"] == "slow-steps")
            seen.append((mine["data"], mine["description"]))

    run(work, units(4), at_once=1, step="slow steps", total=12)
    ((share, told),) = seen
    assert share == 75.0
    assert re.fullmatch(
        r"slow steps: 9 of 12 images, 3 shards made, [\d.]+ images per second, 0 refused", told
    )
    (mine,) = (artifact for artifact in artifacts() if artifact["key"] == "slow-steps")
    assert mine["data"] == 100.0
    assert re.fullmatch(
        r"slow steps: 12 images, 4 of 4 shards made, [\d.]+ images per second", mine["description"]
    )


def test_what_failed_and_why_is_an_artifact(artifacts):
    def work(number):
        if number:
            raise RuntimeError(f"number {number} is cursed")

    with pytest.raises(ShardsFailed):
        run(work, units(3), step="cursed steps")
    (mine,) = (artifact for artifact in artifacts() if artifact["key"] == "cursed-steps-failures")
    rows = {row["shard"]: row for row in json.loads(mine["data"])}
    assert rows.keys() == {"unit-1", "unit-2"}
    assert rows["unit-1"]["error"] == "RuntimeError"
    assert rows["unit-1"]["message"] == "number 1 is cursed"
    assert "test_steps.py:" in rows["unit-1"]["place"]
    assert mine["description"] == "cursed steps: 2 of 3 shards failed"


def test_a_shard_is_told_to_have_failed_once_after_all_retries(monkeypatch):
    def work(number):
        if number:
            raise OSError("the disk is away")

    failed = []
    monkeypatch.setattr(steps, "tell_failure", lambda *facts: failed.append(facts))
    with pytest.raises(ShardsFailed):
        run(work, units(2))
    ((job, error, place),) = failed
    assert (job.number, str(error)) == (1, "the disk is away")
    assert "test_steps.py:" in place


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (OSError("the disk is away"), 4),
        (StoreAway("no answer"), 4),
        (PermissionError(errno.EACCES, "archived, restore it first"), 1),
        (OSError(errno.EROFS, "Read-only file system"), 1),
        (AccessRefused("denied"), 1),
        (WeightsMissing("not there"), 1),
        (ValueError("the scatter must be finite"), 1),
    ],
)
def test_a_shard_is_repeated_only_if_its_failure_can_heal(error, times):
    calls = []

    def work(number):
        calls.append(number)
        raise error

    with pytest.raises((type(error), ShardsFailed)):
        run(work, units(1))
    assert len(calls) == times


def test_shards_that_failed_can_heal_if_one_of_them_can():
    def work(number):
        raise ShardDamaged("the first") if number == 0 else RuntimeError("the second")

    with pytest.raises(ShardsFailed, match="the first was unit-0") as raised:
        run(work, units(2), at_once=1)
    assert can_heal(raised.value)
    with pytest.raises(ShardsFailed) as raised:
        run(work, units(1))
    assert not can_heal(raised.value)


@pytest.fixture
def told(monkeypatch):
    """Collects what is told of runs."""
    events = []
    monkeypatch.setattr(step_watch, "tell_run", lambda *event: events.append(event))
    return events


def test_a_step_that_refuses_much_is_told_once_as_soon_as_enough_is_known(told):
    def work(number):
        told_before.append(len(told))
        return Outcome(images=60, refused={"damaged": 4} if number else {})

    told_before = []
    run(work, units(5), at_once=1)
    assert told_before == [0, 0, 0, 1, 1]  # 4 of 120 are few, 8 of 180 are not, and told once
    ((verb, name, facts),) = told
    assert (verb, name) == ("refusing", "tried")
    assert facts == {
        "step": "try",
        "images": 180,
        "refused": {"damaged": 8},
        "share": 0.0444,
        "max_bad_fraction": 0.08,
    }


def test_a_small_step_that_refuses_much_is_told_at_its_end(told):
    run(lambda _: Outcome(images=3, refused={"damaged": 1}), units(2), at_once=1)
    ((_, _, facts),) = told
    assert (facts["images"], facts["refused"]) == (6, {"damaged": 2})


def test_a_step_that_refuses_no_more_than_half_of_what_it_may_is_not_told(told):
    run(lambda _: Outcome(images=100, refused={"damaged": 4}), units(2))
    assert told == []


def test_images_of_tasks_elsewhere_reach_the_screen_when_their_shard_is_done():
    class Elsewhere(Threads):
        """Tasks that have nobody to tell of their images."""

        reports_progress = False

    def work(_number):
        seen.append(view.images)

    seen = []
    with shown_on(RecordingScreen()) as view:
        run(work, units(3), lanes=Elsewhere(1))
    assert (seen, view.images) == ([0, 3, 6], 9)


def test_units_that_another_run_is_at_are_come_back_to_and_waited_for():
    asked = []

    def work(number, patient):
        asked.append((number, patient))
        if number == 1 and not patient:
            return Outcome(images=0, state="busy")
        return Outcome(images=0, state="found") if number == 1 else None

    with shown_on(RecordingScreen()) as view:
        report = run(work, units(4), at_once=1, tell_patience=True)
    assert asked == [(0, False), (1, False), (2, False), (3, False), (1, True)]
    assert (report.made, report.images) == (3, 12)
    assert report.units == [f"unit-{number}" for number in range(4)]
    assert view.images == 3  # found: counted here, as no task of this run advanced for it


def test_a_run_that_finds_another_at_everything_waits_for_all_of_it_in_its_window():
    lock, under_way, seen = threading.Lock(), Counter(), []

    def work(_number, patient):
        if not patient:
            return Outcome(images=0, state="busy")
        with lock:
            under_way["now"] += 1
            seen.append(under_way["now"])
        time.sleep(0.02)
        with lock:
            under_way["now"] -= 1
        return None

    report = run(work, units(7), at_once=2, tell_patience=True)
    assert (report.made, report.images) == (7, 21)
    assert max(seen) == 2


def test_a_unit_that_the_other_run_gave_up_is_made_here():
    def work(number, patient):
        if number == 0 and not patient:
            return Outcome(images=0, state="busy")
        return None

    report = run(work, units(2), tell_patience=True)
    assert report.note == "2 of 2 shards made"


def test_a_mistake_after_a_busy_unit_is_not_waited_for():
    def work(number, patient):
        assert not patient, "was come back to"
        if number == 0:
            return Outcome(images=0, state="busy")
        raise CorpusError("nothing here is an image")

    with pytest.raises(CorpusError, match="nothing here"):
        run(work, units(3), at_once=1, tell_patience=True)


class Tensor:
    """Something large that a shard holds while it is under way."""


def test_a_failure_names_its_unit_and_lets_the_memory_of_its_shard_go():
    held = []

    def work(number):
        large = Tensor()
        held.append(weakref.ref(large))
        raise RuntimeError(f"number {number} is cursed")

    with pytest.raises(ShardsFailed, match=r"the first was unit-0, .*number 0 is cursed"):
        run(work, units(2), at_once=1)
    gc.collect()
    assert [reference() for reference in held] == [None, None]


def test_a_step_that_is_stopped_stops_the_shards_under_way():
    begun, ended = threading.Event(), []

    def work(_number):
        begun.set()
        try:
            for _ in range(500):  # ten seconds
                advance(1)
                time.sleep(0.02)
        except CancelledError as error:
            ended.append(str(error))
            raise

    def plan():
        yield units(1)[0]
        assert begun.wait(10)
        raise ZeroDivisionError("stop")

    with pytest.raises(ZeroDivisionError), shown_on(RecordingScreen()) as view:
        run(work, plan())
    assert ended == ["the step 'try' was stopped; run again to go on"]  # and is not tried again
    assert view.images < 500
