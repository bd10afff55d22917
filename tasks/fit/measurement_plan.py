"""The plan of a measurement: which shards' moments are missing, of latents or of activations."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from tasks.config import Config, Run
from tasks.fit.earlier_rounds.images import After
from tasks.fit.latent_size import levels_of
from tasks.fit.measure import KEPT_IMAGES, MeasureJob, Met
from tasks.fit.select import Selection, choice_of, chosen_images
from tasks.io.ledger import fingerprint
from tasks.io.networks.codecs import Pixel, codec_identity, precision_and_tile
from tasks.io.networks.plug_ins.codec import pinned_codec
from tasks.io.networks.weights import Weights
from tasks.io.workspace import dataset_folder, moments_folder
from tasks.jobs import Planned, Recipe, Target, finished_digest


class Measure(NamedTuple):
    """What is measured of images."""

    name: str
    """16 hex digits that name all that decides on it: a folder's name."""
    patch_size: int
    """Height and width of a patch, in pixels of the latents or of the level."""
    met: Met | None = None
    """Where activations are met; None for latents."""
    after: After | None = None
    """Which rounds images have gone through; None for images as they are."""
    latents: str = ""
    """Of activations: name of the measure of the latents that are decoded."""

    @property
    def step(self) -> str:
        """The step that measures it, as fingerprints have it."""
        if self.met is not None:
            return "measure level"
        return "measure" if self.after is None else "measure again"


class Measured(NamedTuple):
    """Where the moments of the chosen images of a shard are, or are to be."""

    shard: str
    artifact: str
    digest: str | None
    """Of the moments; None if they are not there, or of other inputs."""
    target: Target
    """What makes them."""


def measure_name(config: Config) -> str:
    """Return 16 hex digits that name codec, tile, patch size and precision: a folder's name."""
    return fingerprint("measure", {**encoding_of(config), "patch_size": config.patch_size})[:16]


def encoding_name(config: Config) -> str:
    """Return 16 hex digits that name codec, tile and precision: by what latents are equal."""
    return fingerprint("measure", encoding_of(config))[:16]


def encoding_of(config: Config) -> dict[str, Any]:
    """Return codec, tile and precision as inputs, by their names."""
    return {
        "codec": codec_identity(config.codec, Weights.of(config.weights)),
        **precision_and_tile(config.codec, config.compute.precision, config.compute.tile),
    }


def measure_of(config: Config) -> Measure:
    """Return what is measured of latents."""
    return Measure(measure_name(config), config.patch_size)


def chosen_by_dataset(config: Config, selection: Selection) -> dict[str, dict[str, list[str]]]:
    """Return the keys of chosen images by shard, of the source's and the target's data set."""
    return {config.source_name: selection.source, config.natural_name: selection.target}


def plan_both_measurements(run: Run) -> list[Planned]:
    """Return the units of the latents of source and target; see ``plan_measurement``.

    Raises:
        StepMissing: images are not chosen, or a shard is not finished.
        WeightsMissing: those of the codec are not at hand.
    """
    selection, measure = chosen_images(run), measure_of(run.config)
    return [
        unit
        for dataset, chosen in chosen_by_dataset(run.config, selection).items()
        for unit in plan_measurement(run, dataset, chosen, measure)
    ]


def plan_measurement(
    run: Run, dataset: str, chosen: Mapping[str, Sequence[str]], measure: Measure
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
    planned, known = [], cache(partial(_known, run, dataset))
    for each in measured_shards(run, dataset, chosen, measure):
        keys = chosen[each.shard]
        job = _job_of(run, each, measure, keys, known()) if each.digest is None else None
        planned.append(Planned(each.shard, len(keys), job, (each.artifact,)))
    return planned


def measured_shards(
    run: Run, dataset: str, chosen: Mapping[str, Sequence[str]], measure: Measure
) -> Iterator[Measured]:
    """Yield where the moments of every shard with selected images are, or are to be.

    They lie below the name of the choice (``choice_of``), so that fits on other numbers of the same
    images keep theirs; those of earlier versions, which had no such folder, are taken as they are.
    The arguments and errors are those of ``plan_measurement``.
    """
    folder, images_folder = moments_folder(dataset, measure.name), dataset_folder(dataset)
    survey, shards = map(run.workspace.ledger.survey, (folder, images_folder))
    by_image, choice = run.config.fit.images <= KEPT_IMAGES, choice_of(run.config)
    for shard, keys in chosen.items():
        images = finished_digest(shards, f"{images_folder}/{shard}")
        inputs = {"shard": images, "keys": keys, "by_image": by_image, "measure": measure.name}
        recipe = Recipe(measure.step, inputs)
        artifact, former = f"{folder}/{choice}/{shard}", f"{folder}/{shard}"
        if survey.digest(former, recipe.mark()) is not None:
            artifact = former
        digest, target = survey.digest(artifact, recipe.mark()), recipe.aim_again(survey, artifact)
        yield Measured(shard, artifact, digest, target)


def named_without_choice(artifact: str) -> str:
    """Return the name of moments without that of the choice, by which fingerprints know them.

    Which other images were chosen beside those of a shard makes no other moments of these, and
    fingerprints of earlier versions had no such name.
    """
    kind, dataset, measure, *_, shard = artifact.split("/")
    return f"{kind}/{dataset}/{measure}/{shard}"


def _known(run: Run, dataset: str) -> dict[str, list[str]]:
    """Return all artifacts with moments of images of each shard, whatever is measured of them."""
    found = dict[str, list[str]]()
    for artifact in sorted(record.artifact for record in run.records_of("moments", dataset)):
        found.setdefault(artifact.rpartition("/")[2], []).append(artifact)
    return found


def _job_of(
    run: Run,
    measured: Measured,
    measure: Measure,
    keys: Sequence[str],
    known: Mapping[str, Sequence[str]],
) -> MeasureJob:
    config, dataset = run.config, measured.artifact.split("/")[1]
    keeps, artifacts = keeps_latents(config), known.get(measured.shard, ())
    of_latents = measure.latents or measure.name
    return MeasureJob(
        workspace=run.workspace.url,
        target=measured.target,
        dataset=dataset,
        shard=measured.shard,
        chosen=tuple(keys),
        codec=pinned_codec(config.codec),
        patch_size=measure.patch_size,
        met=measure.met,
        after=measure.after,
        by_image=config.fit.images <= KEPT_IMAGES,
        keeps_latents=keeps and measure.met is None,
        earlier=tuple(each for each in artifacts if each.split("/")[2] == measure.name),
        latents=_likeliest_first(artifacts, of_latents) if keeps else (),
        encoding=encoding_name(config) if measure.after is None else of_latents,
        weights=config.weights,
        compute=config.compute,
        limits=config.shards.limits(),
    )


def keeps_latents(config: Config) -> bool:
    """Return whether latents are kept: only float32 ones, of codecs that take time."""
    if config.compute.precision != "float32" or isinstance(config.codec, Pixel):
        return False
    return config.fit.keep_latents or bool(levels_of(config))


def _likeliest_first(artifacts: Sequence[str], measure: str) -> tuple[str, ...]:
    """Return artifacts, those first that have moments of latents by this name beside them."""
    return tuple(sorted(artifacts, key=lambda each: each.split("/")[2] != measure))
