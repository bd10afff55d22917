"""What is done of a configuration, read from the ledger; nothing is run."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from tasks.config import Config
from tasks.enhancement_plan import plan_enhancement
from tasks.evaluate import plan_summary
from tasks.extract import plan_extraction
from tasks.fidelity import plan_fidelity
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.workspace import Workspace
from tasks.jobs import Job, Planned
from tasks.measure import plan_both_measurements
from tasks.reduce import find_operator, plan_reduction
from tasks.report import plan_report
from tasks.restore import plan_restoration
from tasks.select import plan_selection, read_selection
from tasks.shard import plan_index, plan_shards


class StepStatus(NamedTuple):
    """Units of one step; ``note`` says why they cannot be counted, where they cannot."""

    name: str
    done: int = 0
    missing: int = 0
    stale: int = 0
    note: str = ""


def survey_steps(config: Config) -> Iterator[StepStatus]:
    """The status of every step, in their order."""
    workspace = Workspace(config.workspace)
    for dataset, plan in _data_sets(config, workspace):
        made = dataset in config.made_datasets()
        yield _status(f"{'restore' if made else 'shard'} {dataset}", plan)
    yield _status("measure latent patches", partial(_measurement, config, workspace))
    yield _status("solve the operator", partial(_reduction, config, workspace))
    yield _status(f"enhance {config.restored_name}", partial(_enhancement, config, workspace))
    if config.evaluate.features is not None:
        step = f"features of {config.against_name}"
        yield _status(step, partial(plan_extraction, config, workspace))
    yield _status("fidelity", partial(_fidelity, config, workspace))
    yield _status("summarise", partial(_summary, config, workspace))
    yield _status("report", partial(_report, config, workspace))


def require_shards(config: Config) -> None:
    """Check that the data sets are those of the configuration and of its folders now.

    Raises:
        StepMissing: some shards are missing or out of date.
    """
    workspace = Workspace(config.workspace)
    for dataset, plan in _data_sets(config, workspace):
        units = list(plan())
        missing = sum(unit.job is not None for unit in units)
        names = [unit.unit for unit in units]
        if missing or plan_index(config, dataset, names, workspace) is not None:
            raise StepMissing(
                f"the data set {dataset!r} must be that of its images and options now, got "
                f"{missing} of {len(units)} shards missing or out of date, or others in its "
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


def _measurement(config: Config, workspace: Workspace) -> list[Planned]:
    artifact, job = plan_selection(config, workspace)
    if job is not None:
        raise StepMissing("images are not chosen yet")
    return plan_both_measurements(config, read_selection(workspace, artifact), workspace)


def _reduction(config: Config, workspace: Workspace) -> list[Planned]:
    artifact, job = plan_selection(config, workspace)
    if job is not None:
        raise StepMissing("images are not chosen yet")
    return _single(plan_reduction(config, read_selection(workspace, artifact), workspace)[1])


def _enhancement(config: Config, workspace: Workspace) -> Iterable[Planned]:
    return plan_enhancement(config, find_operator(config, workspace), workspace, tars=True)


def _fidelity(config: Config, workspace: Workspace) -> Iterable[Planned]:
    return plan_fidelity(config, find_operator(config, workspace), workspace)


def _summary(config: Config, workspace: Workspace) -> list[Planned]:
    return _single(plan_summary(config, find_operator(config, workspace), workspace)[1])


def _report(config: Config, workspace: Workspace) -> list[Planned]:
    return _single(plan_report(config, find_operator(config, workspace), workspace)[1])


def _single(job: Job | None) -> list[Planned]:
    return [Planned("", 0, job)]


def _status(name: str, plan: Callable[[], Iterable[Planned]]) -> StepStatus:
    """Count the units of a plan; one that cannot be made yet says so in the note."""
    done = missing = stale = 0
    try:
        for unit in plan():
            if unit.job is None:
                done += 1
            elif any(target.stale for target in unit.job.targets()):
                stale += 1
            else:
                missing += 1
    except StepMissing:
        return StepStatus(name, note="waits for an earlier step")
    except DotpipeError as error:
        return StepStatus(name, note=str(error))
    return StepStatus(name, done, missing, stale)
