"""Reduce the moments of both sides to a transport operator."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from prefect import task

from dot_kernels import TransportDiagnostics, solve_transport
from dot_kernels.uncertainty import map_standard_error
from tasks.config import Run
from tasks.fit.decision import find_decision, recipe_digest
from tasks.fit.select import Selection
from tasks.fit.statistics import Side, Sides
from tasks.io.artifacts.moments import save_operator
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.networks.codecs import codec_identity
from tasks.io.workspace import key_digest, operator_artifact
from tasks.jobs import Job, Target, aim, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger

_MOST_DIGESTS, _DIGITS = 20_000, 16
"""Up to so many keys an operator's record says what it was fitted on, in so many digits each."""


class ReduceJob(Job):
    """Solve the operator from these moment files."""

    target: Target
    sides: Sides
    ridge: float
    recipe: str
    """By which later fits tell what they may be compared with."""
    provenance: dict[str, Any]
    fitted_on: tuple[str, ...] | None
    """Digests of the chosen keys, unless they are too many to be kept."""


@task(name="reduce", task_run_name="reduce to {job.target.artifact}", **SHARD_POLICY)
def reduce_moments(job: ReduceJob) -> None:
    """Write the operator; safe to repeat."""
    settle(job, write_operator)


def plan_reduction(run: Run, selection: Selection) -> tuple[str, ReduceJob | None]:
    """The operator's name, and the job that solves it if it is missing.

    Raises:
        StepMissing: the moments have not been measured, or it has not been decided whether
            the operator in use stays.
    """
    sides = Sides.of(run, selection)
    operator = _operator_of(run, sides)
    if operator != sides.operator(run.config.fit.ridge):
        return operator, None
    inputs = sides.inputs(run.config.fit.ridge)
    artifact = operator_artifact(run.config.restored_name, operator)
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
    target = aim(survey, artifact, "reduce", inputs)
    if target is not None and survey.artifacts():  # of the same data set, by its own name
        target = target.model_copy(update={"replaces": True})
    if target is None:
        return operator, None
    job = ReduceJob(
        workspace=run.workspace.url,
        target=target,
        sides=sides,
        ridge=run.config.fit.ridge,
        recipe=recipe_digest(run.config, sides),
        fitted_on=_fitted_on(selection),
        provenance={
            "pairing": selection.pairing,
            "pairs": selection.pairs,
            "source_dataset": run.config.source_name,
            "target_dataset": run.config.natural_name,
            "images": selection.images,
            "codec": codec_identity(run.config.codec, run.weights),
            "patch_size": run.config.patches.size,
            "precision": run.config.compute.precision,
        },
    )
    return operator, job


def _operator_of(run: Run, sides: Sides) -> str:
    """The operator in use if one was decided on, else that of these statistics."""
    if run.config.fit.refit_beyond is None:
        return sides.operator(run.config.fit.ridge)
    decision = find_decision(run, sides)
    if decision is None:
        raise StepMissing(
            "it must be decided whether the operator in use stays, but is not; run `dotpipe fit "
            "CONFIG` first"
        )
    return decision.operator


def may_be_fitted_on(keys: Iterable[str], facts: Mapping[str, Any]) -> bool:
    """Whether an operator with these facts in its record may know one of the keys."""
    digests = facts.get("fitted_on")
    return digests is None or not {key_digest(key)[:_DIGITS] for key in keys}.isdisjoint(digests)


def _fitted_on(selection: Selection) -> tuple[str, ...] | None:
    sides = (selection.source, selection.target)
    keys = {key for side in sides for chosen in side.values() for key in chosen}
    if len(keys) > _MOST_DIGESTS:
        return None
    return tuple(sorted(key_digest(key)[:_DIGITS] for key in keys))


def write_operator(job: ReduceJob) -> TransportDiagnostics:
    """Merge, solve, and write the operator with both moments and its provenance.

    Raises:
        CorpusError: the images do not give a transport; says why.
    """
    workspace = job.opened()
    with publishing(workspace, job.target) as publication:
        source, target = job.sides.read(workspace)
        totals = {"source": source.whole, "target": target.whole}
        try:
            operator = solve_transport(totals["source"], totals["target"], ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(f"no transport can be fitted: {error}") from error
        spread = _standard_error(source, target, job.ridge)
        path = publication.file(f"{job.target.artifact}.safetensors")
        facts = {**job.provenance, "map_standard_error": spread}
        save_operator(operator, totals, path, **facts)
        known = {"fitted_on": job.fitted_on, "recipe": job.recipe, **facts}
        publication.facts |= {"diagnostics": dataclasses.asdict(operator.diagnostics), **known}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(operator.diagnostics))
    return operator.diagnostics


def _standard_error(source: Side, target: Side, ridge: float) -> float | None:
    """Of the map, by the images on both sides; None where theirs were not kept."""
    if not source.images or not target.images:
        return None
    sides = list(source.images.values()), list(target.images.values())
    return map_standard_error(*sides, ridge=ridge)
