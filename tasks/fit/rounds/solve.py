"""Solve a round: moments of latents go in, an operator with a round more comes out."""

from functools import partial

from prefect import task

from dot_kernels import RepeatedOperator, solve_transport
from dot_kernels.rounds import AnyOperator, Between, rounds_of
from tasks.fit.rounds.further_map import FurtherMapJob, Place, write_further_map
from tasks.io.artifacts.moments import in_round
from tasks.jobs import settle
from tasks.jobs.policy import SHARD_POLICY


class SolveRoundJob(FurtherMapJob):
    """Solve a round's map of latents from these moment files, and add it to the rounds before."""

    between: Between
    """How each round makes its images for the next."""


@task(name="solve round", task_run_name="solve to {job.target.artifact}", **SHARD_POLICY)
def solve_round_map(job: SolveRoundJob) -> None:
    """Write the operator up to a round, unless another run has; safe to repeat."""
    settle(job, write_round)


def write_round(job: SolveRoundJob) -> AnyOperator:
    """Solve the map of a round, and write it with the rounds before; see ``write_further_map``."""

    def place_in(before: AnyOperator) -> Place:
        rounds = rounds_of(before)
        number = len(rounds)
        return Place(
            f"in round {number + 1}",
            ("shrunk_rounds", str(number + 1)),
            partial(in_round, number=number),
            lambda own: RepeatedOperator((*rounds, own), job.between),
        )

    return write_further_map(job, solve_transport, place_in)
