"""All that a configuration stands for, step by step: what is done, and what is missing."""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from tasks.config import Config
from tasks.enhance.match import match_artifacts, plan_matches
from tasks.enhance.plan import plan_enhancement
from tasks.evaluate.extract import plan_extraction
from tasks.evaluate.fidelity import plan_fidelity
from tasks.evaluate.summarise import plan_summary
from tasks.fit.decide import plan_decision
from tasks.fit.decision import decision_artifact
from tasks.fit.measure import plan_both_measurements
from tasks.fit.operators import find_operator
from tasks.fit.reduce import plan_reduction
from tasks.fit.select import Selection, plan_selection, read_selection
from tasks.io.errors import StepMissing
from tasks.io.workspace import Workspace, dataset_folder, operator_artifact, reports_folder
from tasks.jobs import Job, Planned
from tasks.report.report import plan_report
from tasks.shard.index import plan_index
from tasks.shard.restore import plan_restoration
from tasks.shard.retire import plan_retirement
from tasks.shard.shard import plan_shards


class Step(NamedTuple):
    """A step: its name, the command that does it, and its units.

    ``plan`` raises StepMissing while what it stands on is not done.
    """

    name: str
    verb: str
    plan: Callable[[], Iterable[Planned]]


def steps_of(config: Config, workspace: Workspace) -> Iterator[Step]:
    """Every step in its order."""
    for dataset, plan in _data_sets(config, workspace):
        made = dataset in config.made_datasets()
        with_index = partial(_with_index, config, dataset, plan, workspace)
        yield Step(f"{'restore' if made else 'shard'} {dataset}", "shard", with_index)
    yield Step("retire shards", "shard", partial(_retirement, config, workspace))
    yield Step("choose images", "fit", partial(_selection, config, workspace))
    yield Step("measure latent patches", "fit", partial(_measurement, config, workspace))
    if config.fit.refit_beyond is not None:
        yield Step("keep or refit", "fit", partial(_decision, config, workspace))
    yield Step("solve the operator", "fit", partial(_reduction, config, workspace))
    if config.reference_name is not None:
        yield Step("match the reference", "enhance", partial(_matches, config, workspace))
    name = f"enhance {config.restored_name}"
    yield Step(name, "enhance", partial(_enhancement, config, workspace))
    if config.evaluate.features is not None:
        name = f"features of {config.against_name}"
        yield Step(name, "evaluate", partial(plan_extraction, config, workspace))
    yield Step("fidelity", "evaluate", partial(_fidelity, config, workspace))
    yield Step("summarise", "evaluate", partial(_summary, config, workspace))
    yield Step("report", "report", partial(_report, config, workspace))


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's search for cycles rests while the block runs.

    A plan of a large data set is hundreds of thousands of small values without one, and
    looking at all of them again and again takes a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@uncollected()
def is_finished(config: Config, verb: str | None = None) -> bool:
    """Whether nothing is left to do; asks the last steps first, as they miss the most.

    Args:
        config: what is wanted.
        verb: the command whose steps are asked; all by default.
    """
    workspace = Workspace(config.workspace, still=True)
    try:
        return all(
            unit.job is None
            for step in reversed(list(steps_of(config, workspace)))
            if verb in (None, step.verb)
            for unit in step.plan()
        )
    except StepMissing:
        return False


def require_shards(config: Config) -> None:
    """Check that the data sets are those of the configuration and of its folders now.

    Raises:
        StepMissing: some shards are missing or out of date.
    """
    workspace = Workspace(config.workspace, still=True)
    for dataset, plan in _data_sets(config, workspace):
        shards, missing = dict[str, str](), 0
        for unit in plan():  # each with its files, which are not held together
            shards[unit.unit] = unit.fingerprint
            missing += unit.job is not None
        if missing or plan_index(config, dataset, shards, workspace) is not None:
            raise StepMissing(
                f"the data set {dataset!r} must be that of its images and options now, got "
                f"{missing} of {len(shards)} shards missing or out of date, or others in its "
                "index; run `dotpipe shard CONFIG` first"
            )


def _data_sets(
    config: Config, workspace: Workspace
) -> Iterator[tuple[str, Callable[[], Iterable[Planned]]]]:
    """Every data set with the function that plans it."""
    for dataset, corpus in config.given_datasets().items():
        yield dataset, partial(plan_shards, config, corpus, dataset, workspace)
    for dataset, clean in config.made_datasets().items():
        yield dataset, partial(plan_restoration, config, clean, dataset, workspace)


def _with_index(
    config: Config, dataset: str, plan: Callable[[], Iterable[Planned]], workspace: Workspace
) -> Iterator[Planned]:
    """The shards of a data set, and the index over them once they are done."""
    shards, complete = dict[str, str](), True
    for unit in plan():
        shards[unit.unit] = unit.fingerprint
        complete = complete and unit.job is None
        yield unit
    if not complete:  # the index is still needed, though nothing can be said of it
        yield Planned("", 0, None, (f"{dataset_folder(dataset)}/index",))
    else:
        job = plan_index(config, dataset, shards, workspace)
        yield from _single(f"{dataset_folder(dataset)}/index", job)


def _retirement(config: Config, workspace: Workspace) -> list[Planned]:
    """What is left of shards that are gone; nothing if there is none."""
    job = plan_retirement(config, workspace)
    return [] if job is None else [Planned("", 0, job)]


def _selected(config: Config, workspace: Workspace) -> Selection:
    artifact, job = plan_selection(config, workspace)
    if job is not None:
        raise StepMissing("images are not chosen yet; run `dotpipe fit CONFIG` first")
    return read_selection(workspace, artifact)


def _selection(config: Config, workspace: Workspace) -> list[Planned]:
    return _single(*plan_selection(config, workspace))


def _measurement(config: Config, workspace: Workspace) -> list[Planned]:
    return plan_both_measurements(config, _selected(config, workspace), workspace)


def _decision(config: Config, workspace: Workspace) -> list[Planned]:
    job = plan_decision(config, _selected(config, workspace), workspace)
    return _single(decision_artifact(config), job)


def _reduction(config: Config, workspace: Workspace) -> list[Planned]:
    name, job = plan_reduction(config, _selected(config, workspace), workspace)
    return _single(operator_artifact(config.restored_name, name), job)


def _matches(config: Config, workspace: Workspace) -> list[Planned]:
    job = plan_matches(config, workspace)
    return [Planned("", 0, job, tuple(match_artifacts(config, workspace)))]


def _enhancement(config: Config, workspace: Workspace) -> Iterable[Planned]:
    return plan_enhancement(config, find_operator(config, workspace), workspace, tars=True)


def _fidelity(config: Config, workspace: Workspace) -> Iterable[Planned]:
    return plan_fidelity(config, find_operator(config, workspace), workspace)


def _summary(config: Config, workspace: Workspace) -> list[Planned]:
    return _single(*plan_summary(config, find_operator(config, workspace), workspace))


def _report(config: Config, workspace: Workspace) -> list[Planned]:
    operator = find_operator(config, workspace)
    _, job = plan_report(config, operator, workspace)
    return _single(f"{reports_folder(config.restored_name, operator.name)}/report", job)


def _single(artifact: str, job: Job | None) -> list[Planned]:
    return [Planned("", 0, job, (artifact,))]
