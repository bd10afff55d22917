"""The steps of a command: what is done of each, in which order, and which leave a report."""

from types import SimpleNamespace

import pytest

from flows.steps import by_verb
from flows.steps.by_verb import do_step
from flows.steps.screen import Silence, screen
from tasks.config.compute import Compute, Ray
from tasks.io.networks import codecs
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE, Pixel
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
        codec=STABLE_DIFFUSION_VAE,
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
    count = lambda is_to_stop: None  # noqa: E731
    step = Step("shard natural", "shard", shards, None, "files", closing=closing, counting=count)
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


# A precision that the device does not compute in


@pytest.fixture
def warned(monkeypatch):
    """What is said on the terminal and in the run's log, on a machine without bfloat16."""
    told = []
    monkeypatch.setattr(codecs, "computes_bfloat16", lambda _: False)
    log = SimpleNamespace(warning=lambda text: told.append(("log", text)))
    monkeypatch.setattr(by_verb, "logger", lambda: log)
    token = screen.set(SimpleNamespace(say=lambda text: told.append(("terminal", text))))
    yield told
    screen.reset(token)


def to_do(*names):
    return [unit._replace(job=SimpleNamespace(targets=list)) for unit in units(*names)]


ENCODING = Step("enhance run", "enhance", lambda: to_do("one"), None, "network")


def test_bfloat16_on_a_device_without_it_is_told_with_what_to_write_instead(run, done, warned):
    run.config.compute = Compute(device="cpu", precision="bfloat16")
    do_step(run, ENCODING)
    (_, told), (_, again) = warned
    assert [place for place, _ in warned] == ["log", "terminal"]
    assert told == again
    assert told.startswith("compute.precision is bfloat16, for which cpu of ")
    assert told.endswith("fifty times as long as in float32; write `precision: float32`")


@pytest.mark.parametrize(
    ("config", "step"),
    [
        ({"compute": Compute(device="cpu")}, ENCODING),
        ({"codec": Pixel()}, ENCODING),
        ({"compute": Compute(precision="bfloat16", runner=Ray(kind="ray"))}, ENCODING),
        ({}, ENCODING._replace(verb="shard")),  # restorers compute in float32
        ({}, ENCODING._replace(verb="evaluate")),  # and so do feature networks
        ({}, ENCODING._replace(plan=lambda: units("one"))),  # done already
    ],
)
def test_where_bfloat16_costs_nothing_there_is_no_warning(
    run, done, warned, monkeypatch, config, step
):
    monkeypatch.setattr(by_verb, "_LANES", {"network": lambda _: None})
    options = {"compute": Compute(device="cpu", precision="bfloat16")} | config
    for name, value in options.items():
        setattr(run.config, name, value)
    do_step(run, step)
    assert warned == []


def test_a_device_that_computes_in_bfloat16_is_not_warned_of(run, done, warned, monkeypatch):
    monkeypatch.setattr(codecs, "computes_bfloat16", lambda _: True)
    run.config.compute = Compute(device="cpu", precision="bfloat16")
    do_step(run, ENCODING)
    assert warned == []
