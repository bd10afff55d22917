"""The steps of a command: what is done of each, in which order, and which leave a report."""

from types import SimpleNamespace

import pytest

from flows.steps import by_verb
from flows.steps.by_verb import do_step
from flows.steps.screen import Silence
from tasks.config.compute import Compute
from tasks.jobs import Planned, Target
from tasks.pipeline import Closing, Step


@pytest.fixture
def done(monkeypatch):
    """What is done, in order; the jobs of several units are those of a stand-in."""
    order = []

    def run_step(_step, _work, units, _lanes, total):
        order.extend(unit.unit for unit in units)
        order.append(total)
        return "a report"

    monkeypatch.setattr(by_verb, "run_step", run_step)
    return order


@pytest.fixture
def run():
    """A run, as far as steps ask for it."""
    config = SimpleNamespace(
        compute=Compute(device="cpu"),
        name="run",
        shards=SimpleNamespace(max_bad_fraction=0.05),
    )
    return SimpleNamespace(config=config, workspace=SimpleNamespace(ledger="the ledger"))


def units(*names):
    return [Planned(name, 3, None, (), f"print of {name}") for name in names]


def test_a_step_without_units_has_no_report_and_no_bar(run, done):
    step = Step("features of natural", "evaluate", list, None, "network")
    assert do_step(run, step) is None
    assert done == []


def test_what_closes_a_step_is_planned_from_its_units_when_they_are_done(run, done):
    def plan(fingerprints):
        done.append(dict(fingerprints))
        return "a job"

    closing = Closing("index", plan, done.append)
    shards = lambda: iter(units("one", "two"))  # noqa: E731 - a plan is a function
    step = Step("shard natural", "shard", shards, None, "files", closing=closing)
    assert do_step(run, step) == "a report"
    known = {"one": "print of one", "two": "print of two"}
    assert done == ["one", "two", None, known, "a job"]


def test_how_many_images_a_step_has_is_known_before_it_begins(run, done):
    do_step(run, Step("enhance run", "enhance", lambda: units("one", "two"), None, "network"))
    assert done == ["one", "two", 6]


def test_a_step_is_prepared_before_it_is_planned(run, done):
    def plan():
        done.append("planned")
        return []

    prepare = lambda: done.append("prepared")  # noqa: E731
    assert do_step(run, Step("retire", "shard", plan, done.append, prepare=prepare)) is None
    assert done == ["prepared", "planned"]


def test_units_that_are_made_again_say_once_what_has_changed(run, done, monkeypatch):
    said = []
    monkeypatch.setattr(by_verb, "change_of", lambda target, _: f"{target.artifact} changed")
    monkeypatch.setattr(Silence, "say", lambda _, line: said.append(line))
    job = SimpleNamespace(targets=lambda: [Target(artifact="a", fingerprint="f", replaces=True)])
    fresh = SimpleNamespace(targets=lambda: [Target(artifact="b", fingerprint="f")])
    plan = [Planned(str(i), 1, each) for i, each in enumerate([None, fresh, job, job])]
    do_step(run, Step("shard natural", "shard", lambda: plan, None, "network"))
    assert said == ["shard natural is made again: a changed"]
    assert done == ["0", "1", "2", "3", 4]


def test_the_only_job_of_a_step_is_done_at_once(run, done):
    plan = [Planned("", 0, None), Planned("", 0, "a job")]
    assert do_step(run, Step("solve", "fit", lambda: plan, done.append)) is None
    assert done == ["a job"]
