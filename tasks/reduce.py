"""Reduce the moments of both sides to a transport operator."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from prefect import task

from dot_kernels import GaussianMoments, TransportDiagnostics, TransportOperator, solve_transport
from dot_kernels.uncertainty import map_standard_error, merge
from tasks.config import Config
from tasks.corpus import key_digest
from tasks.io.artifacts import load_moments, load_operator, save_operator
from tasks.io.codecs import codec_identity
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.fingerprints import fingerprint
from tasks.io.workspace import Workspace, moments_folder, operator_artifact
from tasks.jobs import Job, Target, aim, finished_digest, publishing, settle
from tasks.measure import WHOLE, measure_name
from tasks.policy import SHARD_POLICY, logger
from tasks.select import Selection, plan_selection, read_selection

_MOST_DIGESTS, _DIGITS = 20_000, 16
"""Up to so many keys an operator's record says what it was fitted on, in so many digits each."""


class ReduceJob(Job):
    """Solve the operator from these moment files."""

    target: Target
    source: tuple[str, ...]
    target_side: tuple[str, ...]
    ridge: float
    provenance: dict[str, Any]
    fitted_on: tuple[str, ...] | None
    """Digests of the chosen keys, unless they are too many to be kept."""


class OperatorRef(NamedTuple):
    """A fitted operator, as plans refer to it."""

    name: str
    digest: str
    is_stochastic: bool


@task(name="reduce", **SHARD_POLICY)
def reduce_moments(job: ReduceJob) -> None:
    """Write the operator; safe to repeat."""
    settle(job, write_operator)


def plan_reduction(
    config: Config, selection: Selection, workspace: Workspace
) -> tuple[str, ReduceJob | None]:
    """The operator's name, and the job that solves it if it is missing.

    Raises:
        StepMissing: the moments have not been measured.
    """
    sides = {
        "source": _moment_files(config, config.source_name, selection.source, workspace),
        "target": _moment_files(config, config.natural_name, selection.target, workspace),
    }
    inputs = {**sides, "ridge": config.fit.ridge}
    operator = fingerprint("reduce", inputs)[:16]
    artifact = operator_artifact(config.restored_name, operator)
    survey = workspace.ledger.survey(artifact.rpartition("/")[0])
    target = aim(survey, artifact, "reduce", inputs)
    if target is not None and survey.artifacts():  # of the same data set, by its own name
        target = target.model_copy(update={"replaces": True})
    job = (
        None
        if target is None
        else ReduceJob(
            workspace=workspace.url,
            target=target,
            source=tuple(sides["source"]),
            target_side=tuple(sides["target"]),
            ridge=config.fit.ridge,
            fitted_on=_fitted_on(selection),
            provenance={
                "pairing": selection.pairing,
                "pairs": selection.pairs,
                "source_dataset": config.source_name,
                "target_dataset": config.natural_name,
                "images": selection.images,
                "codec": codec_identity(config.codec, config.weights),
                "patch_size": config.patches.size,
                "precision": config.compute.precision,
            },
        )
    )
    return operator, job


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


def find_operator(config: Config, workspace: Workspace) -> OperatorRef:
    """The operator of this configuration.

    Raises:
        StepMissing: it has not been fitted, or not with these options and images.
    """
    refit = "the operator must be fitted for these images and options, but is not; "
    refit += "run `dotpipe fit CONFIG` first"
    artifact, job = plan_selection(config, workspace)
    if job is not None:
        raise StepMissing(refit)
    try:
        name, reduction = plan_reduction(config, read_selection(workspace, artifact), workspace)
    except StepMissing as error:
        raise StepMissing(refit) from error
    if reduction is not None:
        raise StepMissing(refit)
    artifact = operator_artifact(config.restored_name, name)
    record = workspace.ledger.survey(artifact.rpartition("/")[0]).records(artifact)[-1]
    branch = workspace.ledger.facts(record)["diagnostics"]["branch"]
    return OperatorRef(name, record.digest, branch == "stochastic")


@lru_cache(maxsize=4)
def read_operator(
    workspace: Workspace, dataset: str, name: str
) -> tuple[TransportOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """An operator, the moments of both sides, and its provenance; read once per process."""
    with workspace.store.fetched(f"{operator_artifact(dataset, name)}.safetensors") as path:
        return load_operator(path)


def write_operator(job: ReduceJob) -> TransportDiagnostics:
    """Merge, solve, and write the operator with both moments and its provenance.

    Raises:
        CorpusError: the images do not give a transport; says why.
    """
    workspace = job.opened()
    with publishing(workspace, job.target) as publication:
        source = _read_parts(job.source, workspace)
        target = _read_parts(job.target_side, workspace)
        if job.provenance["pairing"] == "paired":
            source, target = _complete_pairs(source, target)
        totals = {"source": source.whole, "target": target.whole}
        try:
            operator = solve_transport(totals["source"], totals["target"], ridge=job.ridge)
        except ValueError as error:
            raise CorpusError(f"no transport can be fitted: {error}") from error
        spread = _standard_error(source, target, job.ridge)
        path = publication.file(f"{job.target.artifact}.safetensors")
        facts = {**job.provenance, "map_standard_error": spread}
        save_operator(operator, totals, path, **facts)
        known = {"fitted_on": job.fitted_on, **facts}
        publication.facts |= {"diagnostics": dataclasses.asdict(operator.diagnostics), **known}
    logger().info("solved %s %s", job.target.artifact, dataclasses.asdict(operator.diagnostics))
    return operator.diagnostics


def _standard_error(source: "_Side", target: "_Side", ridge: float) -> float | None:
    """Of the map, by the images on both sides; None where theirs were not kept."""
    if not source.images or not target.images:
        return None
    sides = list(source.images.values()), list(target.images.values())
    return map_standard_error(*sides, ridge=ridge)


def _moment_files(
    config: Config, dataset: str, chosen: dict[str, list[str]], workspace: Workspace
) -> dict[str, str]:
    """The moment files of one side with their digests, in the order of shards."""
    folder = moments_folder(dataset, measure_name(config))
    survey = workspace.ledger.survey(folder)
    return {
        f"{folder}/{shard}": finished_digest(survey, f"{folder}/{shard}", "fit") for shard in chosen
    }


class _Side(NamedTuple):
    """The moments of one side, and those of its images by key if they were kept."""

    whole: GaussianMoments
    images: dict[str, GaussianMoments]


def _read_parts(artifacts: tuple[str, ...], workspace: Workspace) -> _Side:
    """Merge the moment files of one side in the order of shards."""
    wholes, images = [], dict[str, GaussianMoments]()
    for artifact in artifacts:
        with workspace.store.fetched(f"{artifact}.safetensors") as path:
            parts = load_moments(path)[0]
        wholes.append(parts.pop(WHOLE))
        images |= parts
    return _Side(merge(wholes), images)


def _complete_pairs(source: _Side, target: _Side) -> tuple[_Side, _Side]:
    """Both sides without the images that were refused on the other one."""
    shared = [key for key in source.images if key in target.images]
    if not shared or len(shared) == len(source.images) == len(target.images):
        return source, target
    source_images, target_images = (
        {key: side.images[key] for key in shared} for side in (source, target)
    )
    return (
        _Side(merge(list(source_images.values())), source_images),
        _Side(merge(list(target_images.values())), target_images),
    )
