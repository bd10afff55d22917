"""Solve a level: moments of activations go in, an operator with the map of the level comes out."""

import dataclasses
from typing import Any

from prefect import task

from dot_kernels import LevelledOperator
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import latent_part, level_parts
from dot_kernels.shrinkage import shrink
from tasks.fit.reduce import nameless_digest, shrinkage_of
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import at_level, load_operator, save_operator
from tasks.io.errors import CorpusError
from tasks.jobs import Job, Target, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import at


class SolveLevelJob(Job):
    """Solve the map of a level from these moment files, and add it to those below."""

    target: Target
    below: str
    """Artifact of the operator with the maps below."""
    level: int
    files: MomentFiles
    ridge: float
    recipe: str | None
    """Of the last level: digest of what operators must share to stand for one another."""
    fitted_on: tuple[str, ...] | None
    """First hex digits of the selected keys' digests; None if they are too many to be kept."""


@task(name="solve level", task_run_name="solve to {job.target.artifact}", **SHARD_POLICY)
def solve_level_map(job: SolveLevelJob) -> None:
    """Write the operator up to a level, unless another run has; safe to repeat."""
    settle(job, write_level)


def write_level(job: SolveLevelJob) -> LevelledOperator:
    """Merge the moments, solve the map, and write it with those below and all their moments.

    Raises:
        CorpusError: no map can be fitted to the moments; the message says why.
    """
    workspace, below = job.opened(), f"{job.below}.safetensors"
    with publishing(workspace, job.target) as publication:
        with workspace.store.fetched(below) as file:
            operator, moments, facts = load_operator(file, below)
        both = job.files.read(workspace)
        source, target = (each.whole for each in both)
        at(f"the map of level {job.level}, {source.dimension} dimensions")
        try:
            fitted = solve_level(source, target, ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(f"no map can be fitted at level {job.level}: {error}") from error
        amount = shrinkage_of(job.files, *both, job.ridge)
        own = shrink(fitted, source, target, amount)
        if any(amount):
            shrunk = facts.get("shrunk_levels", {})
            facts["shrunk_levels"] = {**shrunk, str(job.level): amount._asdict()}
        moved = LevelledOperator(latent_part(operator), {**level_parts(operator), job.level: own})
        moments |= {at_level("source", job.level): source, at_level("target", job.level): target}
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_operator(moved, moments, path, **facts)
        if job.recipe is None:
            publication.digest = nameless_digest(path)
        known: dict[str, Any] = {
            "fitted_on": job.fitted_on,
            "diagnostics": dataclasses.asdict(moved.diagnostics),
        }
        known |= {} if job.recipe is None else {"recipe": job.recipe}
        levels = {each: dataclasses.asdict(o.diagnostics) for each, o in moved.levels.items()}
        publication.facts |= {**facts, **known, "levels": levels}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(own.diagnostics))
    return moved
