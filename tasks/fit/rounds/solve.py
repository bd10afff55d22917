"""Solve a round: moments of latents go in, an operator with a round more comes out."""

import dataclasses

from prefect import task

from dot_kernels import RepeatedOperator, solve_transport
from dot_kernels.rounds import Between, rounds_of
from dot_kernels.shrinkage import shrink
from tasks.fit.reduce import nameless_digest, rounds_facts, shrinkage_of
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import in_round, load_operator, save_operator
from tasks.io.errors import CorpusError
from tasks.jobs import Job, Target, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import at


class SolveRoundJob(Job):
    """Solve a round's map of latents from these moment files, and add it to the rounds before."""

    target: Target
    below: str
    """Artifact of the operator of the rounds before."""
    files: MomentFiles
    between: Between
    """How each round makes its images for the next."""
    ridge: float
    recipe: str | None
    """Digest of what operators must share to stand for one another; None for one to which maps of
    levels are still to come."""
    fitted_on: tuple[str, ...] | None
    """First hex digits of the selected keys' digests; None if they are too many to be kept."""


@task(name="solve round", task_run_name="solve to {job.target.artifact}", **SHARD_POLICY)
def solve_round_map(job: SolveRoundJob) -> None:
    """Write the operator up to a round, unless another run has; safe to repeat."""
    settle(job, write_round)


def write_round(job: SolveRoundJob) -> RepeatedOperator:
    """Merge the moments, solve the map, and write it with the rounds before and all moments.

    Raises:
        CorpusError: no transport can be fitted to the moments; the message says why.
    """
    workspace, below = job.opened(), f"{job.below}.safetensors"
    with publishing(workspace, job.target) as publication:
        with workspace.store.fetched(below) as file:
            before, moments, facts = load_operator(file, below)
        number = len(rounds_of(before))
        both = job.files.read(workspace)
        source, target = (each.whole for each in both)
        at(f"the map of round {number + 1}, {source.dimension} dimensions")
        try:
            fitted = solve_transport(source, target, ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(
                f"no transport can be fitted in round {number + 1}: {error}"
            ) from error
        amount = shrinkage_of(job.files, *both, job.ridge)
        own = shrink(fitted, source, target, amount)
        if any(amount):
            shrunk = facts.get("shrunk_rounds", {})
            facts["shrunk_rounds"] = {**shrunk, str(number + 1): amount._asdict()}
        operator = RepeatedOperator((*rounds_of(before), own), job.between)
        moments |= {in_round("source", number): source, in_round("target", number): target}
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_operator(operator, moments, path, **facts)
        if job.recipe is None:
            publication.digest = nameless_digest(path)
        publication.facts |= {**facts, **rounds_facts(operator), "fitted_on": job.fitted_on}
        publication.facts |= {} if job.recipe is None else {"recipe": job.recipe}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(own.diagnostics))
    return operator
