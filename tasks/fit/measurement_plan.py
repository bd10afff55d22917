"""The plan of a measurement: which shards' moments are missing, of latents or of activations."""

from typing import NamedTuple

from tasks.config import Config, Run
from tasks.fit.latent_size import levels_of
from tasks.fit.measure import KEPT_IMAGES, MeasureJob, Met
from tasks.fit.select import chosen_images
from tasks.io.ledger import fingerprint
from tasks.io.networks.codecs import codec_identity, precision_and_tile
from tasks.io.networks.weights import Weights
from tasks.io.workspace import dataset_folder, moments_folder
from tasks.jobs import Planned, Target, aim, finished_digest


class Measure(NamedTuple):
    """What is measured of images."""

    name: str
    """16 hex digits that name all that decides on it: a folder's name."""
    patch_size: int
    """Height and width of a patch, in pixels of the latents or of the level."""
    met: Met | None = None
    """Where activations are met; None for latents."""


def measure_name(config: Config) -> str:
    """Return 16 hex digits that name codec, tile, patch size and precision: a folder's name."""
    inputs = {
        "codec": codec_identity(config.codec, Weights.of(config.weights)),
        "patch_size": config.patch_size,
        **precision_and_tile(config.codec, config.compute.precision, config.compute.tile),
    }
    return fingerprint("measure", inputs)[:16]


def plan_both_measurements(run: Run) -> list[Planned]:
    """Return the units of the latents of source and target; see ``plan_measurement``.

    Raises:
        StepMissing: images are not chosen, or a shard is not finished.
        WeightsMissing: those of the codec are not at hand.
    """
    selection, measure = (
        chosen_images(run),
        Measure(measure_name(run.config), run.config.patch_size),
    )
    both = {run.config.source_name: selection.source, run.config.natural_name: selection.target}
    return [
        unit
        for dataset, chosen in both.items()
        for unit in plan_measurement(run, dataset, chosen, measure)
    ]


def plan_measurement(
    run: Run, dataset: str, chosen: dict[str, list[str]], measure: Measure
) -> list[Planned]:
    """Return a unit for every shard with selected images; done ones have no job.

    Args:
        run: the configuration and its workspace.
        dataset: name of the data set.
        chosen: keys of the selected images, by shard.
        measure: what is measured.

    Raises:
        StepMissing: a shard is not finished.
    """
    by_image = run.config.fit.images <= KEPT_IMAGES
    folder, images_folder = moments_folder(dataset, measure.name), dataset_folder(dataset)
    step = "measure" if measure.met is None else "measure level"
    survey, shards = map(run.workspace.ledger.survey, (folder, images_folder))
    planned = []
    for shard, keys in chosen.items():
        artifact = f"{folder}/{shard}"
        digest = finished_digest(shards, f"{images_folder}/{shard}")
        inputs = {"shard": digest, "keys": keys, "by_image": by_image, "measure": measure.name}
        target = aim(survey, artifact, step, inputs)
        job = None if target is None else _job_of(run, target, dataset, measure, keys)
        planned.append(Planned(shard, len(keys), job, (artifact,)))
    return planned


def _job_of(
    run: Run, target: Target, dataset: str, measure: Measure, keys: list[str]
) -> MeasureJob:
    config, shard = run.config, target.artifact.rpartition("/")[2]
    has_levels = config.compute.precision == "float32" and bool(levels_of(config))
    latents = f"{moments_folder(dataset, measure_name(config))}/{shard}"
    return MeasureJob(
        workspace=run.workspace.url,
        target=target,
        dataset=dataset,
        shard=shard,
        chosen=tuple(keys),
        codec=run.config.codec,
        patch_size=measure.patch_size,
        met=measure.met,
        by_image=run.config.fit.images <= KEPT_IMAGES,
        keeps_latents=has_levels and measure.met is None,
        latents=latents if has_levels and measure.met is not None else None,
        weights=run.config.weights,
        compute=run.config.compute,
        limits=run.config.shards.limits(),
    )
