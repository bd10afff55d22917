"""Measure: selected images of a shard go in, the moments of their latent patches come out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from prefect import task

from dot_kernels import GaussianMoments
from tasks.config import Config, Run
from tasks.config.compute import Compute
from tasks.fit.encoding import Encoder
from tasks.fit.select import Selection
from tasks.io.artifacts.moments import digest_moments, load_moments, save_moments
from tasks.io.errors import ArtifactDamaged
from tasks.io.images import Limits
from tasks.io.ledger import fingerprint
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches
from tasks.io.networks.codecs import CodecSpec, codec_identity, load_codec, precision_and_tile
from tasks.io.networks.weights import Weights
from tasks.io.shards import Member
from tasks.io.shards.loader import load_pictures, windows
from tasks.io.workspace import Workspace, dataset_folder, moments_folder
from tasks.jobs import (
    Job,
    Outcome,
    Planned,
    Subject,
    Target,
    aim,
    carry_out,
    count_reasons,
    finished_digest,
    publishing,
)
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import advance
from tasks.jobs.stopwatch import Stopwatch, timed

KEPT_IMAGES, KEPT_DIMENSION = 1000, 512
"""Up to so many images of such a dimension, moments are also kept by image, for error bars."""

WHOLE = "all"
"""Name of the moments of all images in a shard's file; ``image_name`` names those of one."""


class MeasureJob(Job):
    """Measure the moments of the latent patches of some images of one shard."""

    target: Target
    dataset: str
    shard: str
    chosen: tuple[str, ...]
    """Keys of the images, in order."""
    codec: CodecSpec
    patch_size: int
    """Height and width of a patch in latent pixels."""
    by_image: bool
    """Whether to keep the moments of each image too."""
    weights: str | None
    """Folder or bucket of pulled weights; None for this machine's own."""
    compute: Compute
    limits: Limits

    def subject(self) -> Subject:
        """Return the shard that is measured."""
        return Subject(self.dataset, self.shard)


@task(name="measure", task_run_name="measure {job.dataset} {job.shard}", **SHARD_POLICY)
def measure_shard(job: MeasureJob) -> Outcome:
    """Write the moments of one shard, unless another run has; safe to repeat."""
    return told("measured", job, carry_out(job, write_moments))


def measure_name(config: Config) -> str:
    """Return 16 hex digits that name codec, tile, patch size and precision: a folder's name."""
    inputs = {
        "codec": codec_identity(config.codec, Weights.of(config.weights)),
        "patch_size": config.patch_size,
        **precision_and_tile(config.codec, config.compute.precision, config.compute.tile),
    }
    return fingerprint("measure", inputs)[:16]


def plan_measurement(run: Run, dataset: str, chosen: dict[str, list[str]]) -> list[Planned]:
    """Return a unit for every shard with selected images; done ones have no job.

    Args:
        run: the configuration and its workspace.
        dataset: name of the data set.
        chosen: keys of the selected images, by shard.

    Raises:
        StepMissing: a shard is not finished.
        WeightsMissing: those of the codec are not at hand.
    """
    name, by_image = measure_name(run.config), run.config.fit.images <= KEPT_IMAGES
    folder, images_folder = moments_folder(dataset, name), dataset_folder(dataset)
    survey, shards = map(run.workspace.ledger.survey, (folder, images_folder))
    planned = []
    for shard, keys in chosen.items():
        artifact = f"{folder}/{shard}"
        digest = finished_digest(shards, f"{images_folder}/{shard}")
        inputs = {"shard": digest, "keys": keys, "by_image": by_image, "measure": name}
        target = aim(survey, artifact, "measure", inputs)
        job = None if target is None else _job_of(run, target, dataset, shard, keys)
        planned.append(Planned(shard, len(keys), job, (artifact,)))
    return planned


def _job_of(run: Run, target: Target, dataset: str, shard: str, keys: list[str]) -> MeasureJob:
    return MeasureJob(
        workspace=run.workspace.url,
        target=target,
        dataset=dataset,
        shard=shard,
        chosen=tuple(keys),
        codec=run.config.codec,
        patch_size=run.config.patch_size,
        by_image=run.config.fit.images <= KEPT_IMAGES,
        weights=run.config.weights,
        compute=run.config.compute,
        limits=run.config.shards.limits(),
    )


def image_name(key: str) -> str:
    """Return the name of one image's moments in the file of its shard."""
    return f"image/{key}"


def plan_both_measurements(run: Run, selection: Selection) -> list[Planned]:
    """Return the units of source and target; see ``plan_measurement``."""
    both = {run.config.source_name: selection.source, run.config.natural_name: selection.target}
    return [
        unit for dataset, chosen in both.items() for unit in plan_measurement(run, dataset, chosen)
    ]


def write_moments(job: MeasureJob) -> Outcome:
    """Measure the selected images of one shard, except those that an earlier file holds."""
    with leased(job.compute.device) as device:
        return timed(device, partial(_write, job, device))


def _write(job: MeasureJob, device: str, watch: Stopwatch) -> Outcome:
    workspace, chosen = job.opened(), set(job.chosen)
    with watch.lap("read"):
        members = [m for m in workspace.members(job.dataset, job.shard) if m.key in chosen]
        known = _known(job, members, workspace)
    reasons, images = list[str](), dict[str, str]()
    with publishing(workspace, job.target) as publication:
        encoder = _encoder(job, device, watch)
        dimension = _dimension(job, known, encoder)
        whole, parts = GaussianMoments.zero(dimension), dict[str, GaussianMoments]()
        with watch.lap("statistics"):
            for member, moments in _measured(job, members, known, encoder):
                if isinstance(moments, str):
                    reasons.append(moments)
                    continue
                whole = whole + moments
                if job.by_image and dimension <= KEPT_DIMENSION:
                    parts[image_name(member.key)] = moments
                    images[member.key] = member.sha256
        encoder.batches.require_room()
        outcome = Outcome(
            images=len(job.chosen), refused=count_reasons(reasons), remarks=encoder.remarks
        )
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_moments({WHOLE: whole, **parts}, path, images=images)
        publication.digest = digest_moments({WHOLE: whole, **parts})
        publication.facts |= {**outcome.facts(), "laps": watch.so_far()}
    return outcome


def _encoder(job: MeasureJob, device: str, watch: Stopwatch) -> Encoder:
    weights = Weights.of(job.weights)
    return Encoder(
        load=lambda precision: load_codec(job.codec, device, precision, weights),
        tile=job.compute.tile,
        precision=job.compute.precision,
        batch=job.compute.batch,
        batches=Batches("measure", device),
        watch=watch,
    )


def _dimension(job: MeasureJob, known: dict[str, GaussianMoments], encoder: Encoder) -> int:
    """Return the dimension of a latent patch; loads the codec only if no moments are known."""
    for moments in known.values():
        return moments.dimension
    return encoder.codec.channels * job.patch_size**2


def _known(
    job: MeasureJob, members: list[Member], workspace: Workspace
) -> dict[str, GaussianMoments]:
    """Return the moments by key that an earlier measurement kept of images with the same bytes.

    Its file was made with this codec, precision and patch size, and holds each image's digest.
    """
    if not job.target.replaces:
        return {}
    try:
        path = f"{job.target.artifact}.safetensors"
        with workspace.store.fetched(path) as file:
            parts, facts = load_moments(file, path)
        images: dict[str, str] = facts.get("images", {})
        return {m.key: parts[image_name(m.key)] for m in members if images.get(m.key) == m.sha256}
    except (OSError, ArtifactDamaged, KeyError):
        return {}  # absent or damaged: everything is measured


def _measured(
    job: MeasureJob,
    members: list[Member],
    known: dict[str, GaussianMoments],
    encoder: Encoder,
) -> Iterator[tuple[Member, GaussianMoments | str]]:
    """Yield the moments of every image in the order of keys, or why it has none."""
    fresh = _encoded(job, [member for member in members if member.key not in known], encoder)
    for member in members:
        if member.key in known:
            advance(1)
            yield member, known[member.key]
        else:
            yield member, next(fresh)


def _encoded(
    job: MeasureJob, members: list[Member], encoder: Encoder
) -> Iterator[GaussianMoments | str]:
    """Yield the moments of images that are encoded now, or why there are none, in their order."""
    store = job.opened().store
    with ThreadPoolExecutor(cores()) as pool:
        loaded = read_ahead(
            lambda window: load_pictures(store, window, job.limits, pool),
            windows(members, job.compute.batch),
        )
        for pictures in encoder.watch.each("read", loaded):
            for moments in encoder.measure(pictures, job.patch_size):
                advance(1)
                yield moments
