"""The pipeline without Prefect: the functions of its tasks, in the pipeline's order."""

import shutil
from collections.abc import Callable
from typing import Any

from tasks.config import Config, Run
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.export.export import write_exported
from tasks.export.plan import Export
from tasks.fit.operators import fitted
from tasks.io.workspace import Workspace
from tasks.pipeline import Step, steps_of


def shard(config: Config, workspace: Workspace) -> None:
    """All data sets, given and made."""
    do(Run(config, workspace), lambda step: step.verb in ("shard", "train", "restore"))


def fit(config: Config, workspace: Workspace) -> None:
    """The operator."""
    do(Run(config, workspace), lambda step: step.verb == "fit")


def enhance(config: Config, workspace: Workspace, *, with_images: bool = True) -> None:
    """The enhanced data sets and their metrics, or the metrics alone."""
    do(
        Run(config, workspace),
        lambda step: step.verb == "enhance" if with_images else step.repeats,
    )


def evaluate(config: Config, workspace: Workspace) -> list[dict[str, Any]]:
    """The rows of the summary."""
    do(Run(config, workspace), lambda step: step.verb == "evaluate")
    return read_summary(workspace, summary_artifact(fitted(Run(config, workspace))))


def run(config: Config) -> list[dict[str, Any]]:
    """All of it but the report; the rows of the summary."""
    workspace = Workspace(config.workspace)
    for step in (shard, fit, enhance):
        step(config, workspace)
    return evaluate(config, workspace)


def do(run: Run, is_wanted: Callable[[Step], bool]) -> dict[str, list[Any]]:
    """Do what is missing of some steps, in their order.

    Returns:
        What the tasks return, by the name of their step, or of the artifact that closes it.
    """
    results = {}
    for step in filter(is_wanted, steps_of(run)):
        fingerprints, made = {}, []
        for unit in step.plan():
            fingerprints[unit.unit] = unit.fingerprint
            if unit.job is not None:
                made.append(step.work.fn(unit.job))
        results[step.name] = made
        if step.closing is not None and (job := step.closing.plan(fingerprints)) is not None:
            results[step.closing.artifact] = [step.closing.work.fn(job)]
    return results


def export(planned: Export) -> None:
    """Export what is missing."""
    units = planned.units()
    planned.prepare(units)
    for unit in units:
        if unit.job is not None:
            write_exported(unit.job)
    planned.finish()


def enhance_anew(config: Config, *, with_images: bool = True) -> None:
    """Enhance and score every shard, whatever was done before."""
    workspace = Workspace(config.workspace)
    for folder in ("enhanced", "metrics", "features"):
        for root in (folder, f"ledger/{folder}"):
            shutil.rmtree(workspace.store.local(root), ignore_errors=True)
    enhance(config, workspace, with_images=with_images)
