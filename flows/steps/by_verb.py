"""The steps of a command, done as the pipeline has them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, cast

from prefect import Task

from flows.runners.choice import computing, copying, gathering, training
from flows.runners.lanes import Lanes
from flows.steps.counting import counted_beside
from flows.steps.reports import StepReport, StepRun
from flows.steps.screen import screen
from flows.steps.steps import progress_shown, run_step
from tasks.config import Config, Run, step_names
from tasks.config.compute import Compute, Threads
from tasks.duplicates.fit import duplicates_of_fit
from tasks.fit.select import chosen_images
from tasks.io.ledger import Ledger
from tasks.io.networks.codecs import precision_warning
from tasks.jobs import Job, Planned
from tasks.jobs.policy import logger
from tasks.pipeline import Needs, Step, Verb, steps_of
from tasks.upkeep.changes import change_of

FLOWS: dict[Verb, str] = {
    "shard": "shard-corpus",
    "train": "train-restorer",
    "restore": "restore-dataset",
    "fit": "fit-transport",
    "enhance": "enhance-dataset",
    "evaluate": "evaluate-dataset",
    "report": "report",
}
"""The flow that does the steps of a command."""

_LANES: dict[Needs, Callable[[Compute], Lanes]] = {
    "files": copying,
    "network": computing,
    "training": training,
    "memory": gathering,
}


def do_steps(run: Run, verb: Verb) -> list[StepReport]:
    """Do what is missing of every step of a command, in order.

    Returns:
        The reports of the steps that have shards or signals.

    Raises:
        DotpipeError: a step cannot be done, or some of its shards have failed.
    """
    done = (do_step(run, step) for step in steps_of(run) if step.verb == verb)
    return [report for report in done if report is not None]


def do_step(run: Run, step: Step) -> StepReport | None:
    """Do what is missing of one step.

    Returns:
        The report of the step; None if it is a single job, or has no units.
    """
    if step.prepare is not None:
        step.prepare()
    if step.needs == "nothing":
        for unit in step.plan():
            if unit.job is not None:
                _do(step.work, unit.job, step.name)
        return None
    fingerprints = dict[str, str]()
    planned = _explained(step.plan(), step.name, run.workspace.ledger)
    units: Iterable[Planned] = _noted(planned, fingerprints)
    total = None
    if step.counting is None:  # else there may be more than memory holds
        units = list(units)
        if not units:
            return None
        total = sum(unit.images for unit in units)
        _warn_of_precision(run.config, step, units)
        _warn_of_duplicates(run, step, units)
    lanes = _LANES[step.needs](run.config.compute)
    with nullcontext() if step.counting is None else counted_beside(step.counting):
        report = run_step(StepRun.of(run.config, step.name), step.work, units, lanes, total)
    if step.closing is not None and (job := step.closing.plan(fingerprints)) is not None:
        _do(step.closing.work, job, f"index {step.name.partition(' ')[2]}")
    return report


def _encodes(step: Step, units: Iterable[Planned]) -> bool:
    """Whether a step will run the codec; restorers and feature networks compute in float32."""
    has_codec = step.needs == "network" and (step.verb in ("fit", "enhance") or step.repeats)
    return has_codec and any(unit.job is not None for unit in units)


def _warn_of_precision(config: Config, step: Step, units: Iterable[Planned]) -> None:
    """Say it before the work, in the run's log and on the terminal, where the codec will be slow.

    On Ray it is not known here on which machine the tasks will run.
    """
    compute = config.compute
    if not isinstance(compute.runner, Threads) or not _encodes(step, units):
        return
    warning = precision_warning(config.codec, compute.device, compute.precision)
    if warning is not None:
        logger().warning(warning)
        screen.get().say(warning)


def _warn_of_duplicates(run: Run, step: Step, units: Iterable[Planned]) -> None:
    """Say it before the fit, where some of its images show nearly the same: they count twice.

    On Ray images are not read here.
    """
    is_of_fit = step.name == step_names.round_step(0)
    is_here = isinstance(run.config.compute.runner, Threads)
    if not (is_of_fit and is_here) or all(unit.job is None for unit in units):
        return
    sentence = duplicates_of_fit(run.workspace, chosen_images(run), run.config)
    if sentence:
        logger().warning(sentence)
        screen.get().say(sentence)


def _do(work: Task[Any, Any], job: Job, name: str) -> None:
    """Do a job in a task run of its own, show under a name that it is done, and wait for it."""
    view = screen.get()
    view.begin(name, None)
    with progress_shown(name):
        cast(Callable[[Job], object], work)(job)
    view.finish("done")


def _noted(units: Iterable[Planned], fingerprints: dict[str, str]) -> Iterator[Planned]:
    """The units, whose fingerprints are kept by name, without their files."""
    for unit in units:
        fingerprints[unit.unit] = unit.fingerprint
        yield unit


def _explained(units: Iterable[Planned], step: str, ledger: Ledger) -> Iterator[Planned]:
    """The units; the first that replaces what was there tells what has changed since."""
    rest = iter(units)
    for unit in rest:
        old = [] if unit.job is None else [each for each in unit.job.targets() if each.replaces]
        if old:
            line = f"{step} is made again: {change_of(old[0], ledger)}"
            logger().info(line)
            screen.get().say(line)
        yield unit
        if old:
            break
    yield from rest
