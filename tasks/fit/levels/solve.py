"""Solve a level: moments of activations go in, an operator with the map of the level comes out."""

from prefect import task

from dot_kernels import LevelledOperator, RepeatedOperator, TransportOperator
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import latent_part, level_parts
from dot_kernels.rounds import AnyOperator, rounds_of
from tasks.fit.rounds.further_map import FurtherMapJob, Place, write_further_map
from tasks.io.artifacts.moments import at_level, in_round
from tasks.jobs import settle
from tasks.jobs.policy import SHARD_POLICY


class SolveLevelJob(FurtherMapJob):
    """Solve the map of a level from these moment files, and add it to those of its round."""

    level: int


@task(name="solve level", task_run_name="solve to {job.target.artifact}", **SHARD_POLICY)
def solve_level_map(job: SolveLevelJob) -> None:
    """Write the operator up to a level, unless another run has; safe to repeat."""
    settle(job, write_level)


def write_level(job: SolveLevelJob) -> AnyOperator:
    """Solve the map of a level, and write it with those below; see ``write_further_map``."""

    def place_in(below: AnyOperator) -> Place:
        number = len(rounds_of(below)) - 1
        return Place(
            f"at level {job.level}" + (f" in round {number + 1}" if number else ""),
            ("shrunk_levels", in_round(str(job.level), number)),
            lambda side: in_round(at_level(side, job.level), number),
            lambda own: _with_level(below, job.level, own),
        )

    return write_further_map(job, solve_level, place_in)


def _with_level(operator: AnyOperator, level: int, own: TransportOperator) -> AnyOperator:
    """Return an operator whose last round has the map of a level more."""
    *before, last = rounds_of(operator)
    moved = LevelledOperator(latent_part(last), {**level_parts(last), level: own})
    if isinstance(operator, RepeatedOperator):
        return RepeatedOperator((*before, moved), operator.between)
    return moved
