"""Solve a level: moments of activations go in, an operator with the map of the level comes out."""

import dataclasses

from prefect import task

from dot_kernels import LevelledOperator, RepeatedOperator, TransportOperator
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import latent_part, level_parts
from dot_kernels.rounds import AnyOperator, rounds_of
from dot_kernels.shrinkage import shrink
from tasks.fit.reduce import nameless_digest, rounds_facts, shrinkage_of
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import at_level, in_round, load_operator, save_operator
from tasks.io.errors import CorpusError
from tasks.jobs import Job, Target, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import at


class SolveLevelJob(Job):
    """Solve the map of a level from these moment files, and add it to those of its round."""

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


def write_level(job: SolveLevelJob) -> AnyOperator:
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
        number = len(rounds_of(operator)) - 1
        if any(amount):
            shrunk = facts.get("shrunk_levels", {})
            name = in_round(str(job.level), number)
            facts["shrunk_levels"] = {**shrunk, name: amount._asdict()}
        moved = _with_level(operator, job.level, own)
        sides = {"source": source, "target": target}
        for side, found in sides.items():
            moments[in_round(at_level(side, job.level), number)] = found
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_operator(moved, moments, path, **facts)
        if job.recipe is None:
            publication.digest = nameless_digest(path)
        publication.facts |= {**facts, **rounds_facts(moved), "fitted_on": job.fitted_on}
        publication.facts |= {} if job.recipe is None else {"recipe": job.recipe}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(own.diagnostics))
    return moved


def _with_level(operator: AnyOperator, level: int, own: TransportOperator) -> AnyOperator:
    """Return an operator whose last round has the map of a level more."""
    *before, last = rounds_of(operator)
    moved = LevelledOperator(latent_part(last), {**level_parts(last), level: own})
    if isinstance(operator, RepeatedOperator):
        return RepeatedOperator((*before, moved), operator.between)
    return moved
