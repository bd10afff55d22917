"""Reduce: the moments of source and target go in, a transport operator comes out."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefect import task

from dot_kernels import TransportDiagnostics, solve_transport
from dot_kernels.levels import Operator, level_parts
from dot_kernels.rounds import AnyOperator, rounds_of
from dot_kernels.shrinkage import Shrinkage, shrink, split_half_shrinkage
from dot_kernels.uncertainty import map_standard_error
from tasks.config import Run
from tasks.fit.decision import find_decision, find_stand_in, recipe_digest, stand_in_artifact
from tasks.fit.select import Selection
from tasks.fit.statistics import MomentFiles, Statistics
from tasks.io.artifacts.moments import save_operator
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.ledger.publication import describe
from tasks.io.networks.codecs import codec_identity
from tasks.io.workspace import key_digest, operator_artifact, unfinished_operator
from tasks.jobs import Job, Target, aim, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import at

_MOST_DIGESTS, DIGITS = 20_000, 16
"""Up to how many keys an operator's record holds their digests, and hex digits held of each."""


class ReduceJob(Job):
    """Solve the operator from these moment files."""

    target: Target
    files: MomentFiles
    ridge: float
    recipe: str | None
    """Digest of what operators must share to stand for one another, for later decisions; None for
    one to which maps of levels are still to come."""
    provenance: dict[str, Any]
    """Facts of the fit by name, which the operator's file holds."""
    fitted_on: tuple[str, ...] | None
    """First hex digits of the selected keys' digests; None if they are too many to be kept."""


@task(name="reduce", task_run_name="reduce to {job.target.artifact}", **SHARD_POLICY)
def reduce_moments(job: ReduceJob) -> None:
    """Write the operator, unless another run has; safe to repeat."""
    settle(job, write_operator)


class Reduction(NamedTuple):
    """The operator of a run, and what is left to solve of the map of latents of one round."""

    operator: str
    """Its name."""
    job: Job | None
    """Solves the map; None if that is done."""
    artifact: str
    """That holds this map: the operator up to this round, or what it is before it has maps of
    levels there."""
    files: MomentFiles
    """The moments that the run has now; those of an operator in use that stays were others."""
    said_by: tuple[str, ...] = ()
    """The artifact that says which operator stands in for the one fitted to these, if one does."""

    def is_kept(self, ridge: float) -> bool:
        """Whether an operator in use stays, rather than one fitted to these files."""
        return self.operator != self.files.operator(ridge)


def plan_reduction(run: Run, selection: Selection) -> Reduction:
    """Return the operator's name, and the job that solves the map of latents of the first round.

    Raises:
        StepMissing: the moments have not been measured, or it has not been decided whether
            the operator in use stays.
    """
    files = MomentFiles.of(run, selection)
    operator = _operator_of(run, files)
    if operator != files.operator(run.config.fit.ridge):
        dataset, own = run.config.restored_name, files.operator(run.config.fit.ridge)
        said_by = (stand_in_artifact(dataset, own),) if find_stand_in(run, own) else ()
        return Reduction(operator, None, operator_artifact(dataset, operator), files, said_by)
    first = files.up_to_round(0)
    inputs, own = first.inputs(run.config.fit.ridge), first.operator(run.config.fit.ridge)
    own = unfinished_operator(own, None) if files.levels else own
    artifact = operator_artifact(run.config.restored_name, own)
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
    target = aim(survey, artifact, "reduce", inputs)
    if target is None:
        return Reduction(operator, None, artifact, files)
    if survey.artifacts():  # other operators of the data set, which have other names
        target = target.model_copy(update={"replaces": True})
    job = ReduceJob(
        workspace=run.workspace.url,
        target=target,
        files=first,
        ridge=run.config.fit.ridge,
        recipe=None if files.levels else recipe_digest(run.config, first),
        fitted_on=fitted_on(selection),
        provenance=_provenance(run, selection),
    )
    return Reduction(operator, job, artifact, files)


def _provenance(run: Run, selection: Selection) -> dict[str, Any]:
    """Return what an operator's file says of the images and options of its fit."""
    return {
        "pairing": selection.pairing,
        "pairs": selection.pairs,
        "source_dataset": run.config.source_name,
        "target_dataset": run.config.natural_name,
        "images": selection.images,
        "codec": codec_identity(run.config.codec, run.weights),
        "patch_size": run.config.patch_size,
        "precision": run.config.compute.precision,
    }


def rounds_facts(operator: AnyOperator) -> dict[str, Any]:
    """Return what the record of an operator says of its maps: their diagnostics, round by round."""
    first, *further = map(_diagnosed, rounds_of(operator))
    return {**first, **({"rounds": further} if further else {})}


def _diagnosed(operator: Operator) -> dict[str, Any]:
    levels = {each: dataclasses.asdict(o.diagnostics) for each, o in level_parts(operator).items()}
    own = {"diagnostics": dataclasses.asdict(operator.diagnostics)}
    return {**own, **({"levels": levels} if levels else {})}


def adds_noise(facts: Mapping[str, Any]) -> bool:
    """Return whether an operator adds noise in one of its rounds, as its record's facts say."""
    rounds = (facts, *facts.get("rounds", ()))
    return any(each["diagnostics"]["branch"] == "stochastic" for each in rounds)


def _operator_of(run: Run, files: MomentFiles) -> str:
    """Return the name of the operator that was decided on, or that is fitted to these files.

    Another may stand in for that one; see ``find_stand_in``.

    Raises:
        StepMissing: it has not been decided.
    """
    own = files.operator(run.config.fit.ridge)
    if run.config.fit.refit_beyond is None:
        return find_stand_in(run, own) or own
    decision = find_decision(run, files)
    if decision is None:
        raise StepMissing(
            "it must be decided whether the operator in use stays, but is not; run `dotpipe fit "
            "CONFIG` first"
        )
    return (find_stand_in(run, own) or own) if decision.operator == own else decision.operator


def may_be_fitted_on(keys: Iterable[str], facts: Mapping[str, Any]) -> bool:
    """Return whether an operator may have been fitted with an image that has one of the keys.

    Args:
        keys: of images.
        facts: of the operator's record; without the digests of its keys the answer is yes.
    """
    digests = facts.get("fitted_on")
    return digests is None or not {key_digest(key)[:DIGITS] for key in keys}.isdisjoint(digests)


def fitted_on(selection: Selection) -> tuple[str, ...] | None:
    """Return the first digits of the keys' digests; None if they are too many to be kept."""
    shards = (*selection.source.values(), *selection.target.values())
    keys = {key for selected in shards for key in selected}
    if len(keys) > _MOST_DIGESTS:
        return None
    return tuple(sorted(key_digest(key)[:DIGITS] for key in keys))


def write_operator(job: ReduceJob) -> TransportDiagnostics:
    """Merge the moments, solve the operator, and write it with these moments and its provenance.

    Raises:
        CorpusError: no transport can be fitted to the moments; the message says why.
    """
    workspace = job.opened()
    with publishing(workspace, job.target) as publication:
        source, target = job.files.read(workspace)
        totals = {"source": source.whole, "target": target.whole}
        at(f"the map of {source.whole.dimension} dimensions")
        try:
            fitted = solve_transport(source.whole, target.whole, ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(f"no transport can be fitted: {error}") from error
        amount = shrinkage_of(job.files, source, target, job.ridge)
        operator = shrink(fitted, source.whole, target.whole, amount)
        at("the standard error of the map")
        spread = _standard_error(source, target, job.ridge)
        path = publication.file(f"{job.target.artifact}.safetensors")
        facts = {**job.provenance, "map_standard_error": spread}
        facts |= {f"shrunk_{part}": t for part, t in amount._asdict().items() if any(amount)}
        save_operator(operator, totals, path, **facts)
        if job.recipe is None:
            publication.digest = nameless_digest(path)
        known = {"fitted_on": job.fitted_on, **facts}
        known |= {} if job.recipe is None else {"recipe": job.recipe}
        publication.facts |= {"diagnostics": dataclasses.asdict(operator.diagnostics), **known}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(operator.diagnostics))
    return operator.diagnostics


def nameless_digest(file: Path) -> str:
    """Return the digest of what an operator is before it has all its maps: that of the file alone.

    With its name, in which all levels have a part, levels below would be measured again where one
    above is added.
    """
    return str(describe(file)["sha256"])[:32]


def shrinkage_of(
    files: MomentFiles, source: Statistics, target: Statistics, ridge: float
) -> Shrinkage:
    """Return how far the map of these files is taken toward the identity.

    Where that is to be found from moments of images that were not kept, or are too few, not at all.
    Images are in the order of their keys, whatever shards they lie in.
    """
    if files.shrink != "auto":
        return Shrinkage.of(files.shrink)
    at("halves of the images")
    images = ([each.images[key] for key in sorted(each.images)] for each in (source, target))
    return split_half_shrinkage(*images, ridge=ridge) or Shrinkage.of(0.0)


def _standard_error(source: Statistics, target: Statistics, ridge: float) -> float | None:
    """Return the map's standard error; None if moments were not kept image by image."""
    if not source.images or not target.images:
        return None
    images = list(source.images.values()), list(target.images.values())
    return map_standard_error(*images, ridge=ridge)
