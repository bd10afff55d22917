"""A map more: an operator and moments go in, the operator with one map more comes out.

That is the map of a level of the decoder, or the map of latents that begins a further round.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from dot_kernels import TransportOperator
from dot_kernels.rounds import AnyOperator
from dot_kernels.shrinkage import shrink
from tasks.fit.reduce import nameless_digest, rounds_facts, shrinkage_of
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import load_operator, save_operator
from tasks.io.errors import CorpusError
from tasks.jobs import Job, Target, publishing
from tasks.jobs.policy import logger
from tasks.jobs.progress import at


class FurtherMapJob(Job):
    """Solve a map from these moment files, and add it to those below."""

    target: Target
    below: str
    """Artifact of the operator with the maps below."""
    files: MomentFiles
    ridge: float
    recipe: str | None
    """Digest of what operators must share to stand for one another; None for one to which further
    maps are still to come."""
    fitted_on: tuple[str, ...] | None
    """First hex digits of the selected keys' digests; None if they are too many to be kept."""


class Place(NamedTuple):
    """Where a map is added."""

    words: str
    """What stands after "the map" in sentences, as ``at level 1``."""
    shrunk: tuple[str, str]
    """The fact that holds how far maps of its kind were shrunk, and this one's name in it."""
    name: Callable[[str], str]
    """Gives the name of the moments of a side, source or target."""
    join: Callable[[TransportOperator], AnyOperator]
    """Gives the operator with the map."""


def write_further_map(
    job: FurtherMapJob,
    solve: Callable[..., TransportOperator],
    place_in: Callable[[AnyOperator], Place],
) -> AnyOperator:
    """Merge the moments, solve the map, and write it with those below and all their moments.

    Args:
        job: what is solved, and where that goes.
        solve: fits the map to moments of source and target, with a ridge.
        place_in: says where the map is added to the operator with the maps below.

    Raises:
        CorpusError: no map can be fitted to the moments; the message says why.
    """
    workspace, below = job.opened(), f"{job.below}.safetensors"
    with publishing(workspace, job.target) as publication:
        with workspace.store.fetched(below) as file:
            before, moments, facts = load_operator(file, below)
        place, both = place_in(before), job.files.read(workspace)
        source, target = (each.whole for each in both)
        at(f"the map {place.words}, {source.dimension} dimensions")
        try:
            fitted = solve(source, target, ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(f"no map can be fitted {place.words}: {error}") from error
        own = shrink(fitted, source, target, amount := shrinkage_of(job.files, *both, job.ridge))
        if any(amount):
            fact, name = place.shrunk
            facts[fact] = {**facts.get(fact, {}), name: amount._asdict()}
        operator = place.join(own)
        moments |= {place.name("source"): source, place.name("target"): target}
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_operator(operator, moments, path, **facts)
        if job.recipe is None:
            publication.digest = nameless_digest(path)
        publication.facts |= {**facts, **rounds_facts(operator), "fitted_on": job.fitted_on}
        publication.facts |= {} if job.recipe is None else {"recipe": job.recipe}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(own.diagnostics))
    return operator
