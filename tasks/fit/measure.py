"""Measure: images of a shard go in, the moments of their latents or activations come out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from prefect import task
from pydantic import BaseModel, ConfigDict

from dot_kernels import GaussianMoments
from dot_kernels.patches import Fold
from dot_kernels.rounds import AnyOperator, rounds_of
from tasks.config.compute import Compute
from tasks.fit.earlier_rounds.images import After, EarlierRounds
from tasks.fit.encoding import Decoder, Encoder, Measured
from tasks.io.artifacts.moments import digest_moments, load_moments, load_operator, save_moments
from tasks.io.errors import ArtifactDamaged
from tasks.io.images import Limits
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches
from tasks.io.networks.codecs import CodecSpec, load_codec
from tasks.io.networks.weights import Weights
from tasks.io.shards import Member
from tasks.io.shards.loader import load_pictures, windows
from tasks.io.workspace import Workspace
from tasks.io.workspace.kept_latents import KeptLatents
from tasks.jobs import (
    Job,
    Outcome,
    Subject,
    Target,
    carry_out,
    count_reasons,
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


class Met(BaseModel):
    """Where in the decoder activations are met, and after which maps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: int
    operator: str | None
    """Artifact of the operator whose maps come before; None for the decoder as it is."""
    fold: Fold
    """Weights of its overlapping patches."""
    seed: int
    """Of the noise of a stochastic operator."""


class MeasureJob(Job):
    """Measure the moments of patches of some images of one shard."""

    target: Target
    dataset: str
    shard: str
    chosen: tuple[str, ...]
    """Keys of the images, in order."""
    codec: CodecSpec
    patch_size: int
    """Height and width of a patch in pixels of the latents, or of the level."""
    met: Met | None
    """Where activations are met; None for latents."""
    after: After | None = None
    """Which rounds images have gone through; None for images as they are."""
    by_image: bool
    """Whether to keep the moments of each image too."""
    keeps_latents: bool = False
    """Whether to keep latents, for other measurements of the same images."""
    earlier: tuple[str, ...] = ()
    """Artifacts with moments of this measure of images of the shard, perhaps the same ones."""
    latents: tuple[str, ...] = ()
    """Artifacts beside which latents may be kept that need not be encoded again."""
    encoding: str
    """Names codec, tile and precision, by which latents are equal."""
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


def image_name(key: str) -> str:
    """Return the name of one image's moments in the file of its shard."""
    return f"image/{key}"


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
        dimension = next((m.dimension for m in known.values()), None) or encoder.dimension
        whole, parts = GaussianMoments.zero(dimension), dict[str, GaussianMoments]()
        with watch.lap("statistics"):
            kept = KeptLatents(job.encoding) if job.keeps_latents else None
            for member, moments in _measured(job, members, known, encoder, kept):
                if isinstance(moments, str):
                    reasons.append(moments)
                    continue
                whole = whole + moments
                if job.by_image and dimension <= KEPT_DIMENSION:
                    parts[image_name(member.key)] = moments
                    images[member.key] = member.sha256
        if kept is not None:
            kept.write(publication)
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
        patch_size=job.patch_size,
        decoder=None if job.met is None else _decoder(job, job.met),
        rounds=None if job.after is None else _rounds(job, job.after),
    )


def _decoder(job: MeasureJob, met: Met) -> Decoder:
    """Return where in the decoder activations are met."""
    *before, last = (None,) if met.operator is None else rounds_of(_read(job, met.operator))
    return Decoder(level=met.level, operator=last, fold=met.fold, seed=met.seed, number=len(before))


def _rounds(job: MeasureJob, after: After) -> EarlierRounds:
    """Return the rounds that images go through before they are encoded."""
    operators = rounds_of(_read(job, after.operator))
    return EarlierRounds(operators=operators, between=after.between, seed=after.seed)


def _read(job: MeasureJob, artifact: str) -> AnyOperator:
    path = f"{artifact}.safetensors"
    with job.opened().store.fetched(path) as file:
        return load_operator(file, path)[0]


def _known(
    job: MeasureJob, members: list[Member], workspace: Workspace
) -> dict[str, GaussianMoments]:
    """Return the moments by key that an earlier measurement kept of images with the same bytes.

    Its file was made with this codec, precision and patch size, and holds each image's digest.
    """
    known = dict[str, GaussianMoments]()
    for artifact in job.earlier:
        if len(known) == len(members):
            break
        with suppress(OSError, ArtifactDamaged):  # absent or damaged: they are measured
            path = f"{artifact}.safetensors"
            with workspace.store.fetched(path) as file:
                parts, facts = load_moments(file, path)
            same = (m.key for m in members if facts.get("images", {}).get(m.key) == m.sha256)
            known |= {key: parts[name] for key in same if (name := image_name(key)) in parts}
    return known


def _measured(
    job: MeasureJob,
    members: list[Member],
    known: dict[str, GaussianMoments],
    encoder: Encoder,
    kept: KeptLatents | None,
) -> Iterator[tuple[Member, GaussianMoments | str]]:
    """Yield the moments of every image in the order of keys, or why it has none.

    Args:
        job: what is measured.
        members: the images.
        known: moments that need not be measured, by key.
        encoder: of images.
        kept: where latents are kept; None if they are not wanted.
    """
    earlier = KeptLatents.read(job.opened().store, job.latents, members, job.encoding)
    missing = [m for m in members if m.key not in known and earlier.of(m) is None]
    fresh = _encoded(job, missing, encoder)
    for member in members:
        latents = earlier.of(member)
        if (moments := known.get(member.key)) is not None:
            advance(1)
            measured = Measured(moments, latents)
        elif latents is not None:
            advance(1)
            measured = Measured(encoder.measure_latents(member, latents), latents)
        else:
            measured = next(fresh)
        is_place = earlier.place_of(member) in (None, job.target.artifact)  # else another one is
        if kept is not None and measured.latents is not None and is_place:
            kept.add(member, measured.latents)
        yield member, measured.moments


def _encoded(job: MeasureJob, members: list[Member], encoder: Encoder) -> Iterator[Measured]:
    """Yield what is measured of images that are encoded now, in their order."""
    store = job.opened().store
    with ThreadPoolExecutor(cores()) as pool:
        loaded = read_ahead(
            lambda window: load_pictures(store, window, job.limits, pool),
            windows(members, job.compute.batch),
        )
        for pictures in encoder.watch.each("read", loaded):
            for measured in encoder.measure(pictures):
                advance(1)
                yield measured
