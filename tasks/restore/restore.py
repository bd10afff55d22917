"""The task that restores a shard: of degraded images, or of clean ones that it degrades first."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from prefect import task

from tasks.config.compute import Compute
from tasks.io.errors import ImageRefused, StepMissing
from tasks.io.images import Limits, Pixels, Raster, encode_lossless, extension_of
from tasks.io.images.transparency import with_hidden
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches
from tasks.io.networks.loaded_restorers import LoadedRestorer
from tasks.io.networks.residual_transport.restorer import TrainedMap, load_trained_map
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.restorers import RestorerSpec, load_restorer
from tasks.io.networks.undoing import OneDegradation
from tasks.io.networks.weights import Weights
from tasks.io.shards import SHARD_ENDINGS, Accepted, Member, Refused, write_shard
from tasks.io.shards.loader import windows
from tasks.io.workspace import Workspace
from tasks.jobs import Job, Outcome, Subject, Target, carry_out, publishing
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import as_done
from tasks.jobs.stopwatch import Stopwatch, timed
from tasks.restore.degraded import Degraded, Source
from tasks.restore.earlier import RestoredBefore
from tasks.restore.restoration import Restoration
from tasks.shard.bad_images import outcome_of


class _Window(NamedTuple):
    """Images that are on their way together."""

    keys: list[str]
    """Of all of them, in their order."""
    copies: Mapping[str, Accepted]
    """Those that were restored before, by their keys."""
    degraded: list[Degraded]
    """The others, in their order."""


class RestoreJob(Job):
    """Restore one shard of degraded images, or of clean ones that are degraded first."""

    target: Target
    origin: str
    """Name of the data set of degraded or clean images."""
    dataset: str
    """Name of the data set of restored images."""
    shard: str
    """Name of the shard, in both."""
    chosen: tuple[str, ...] | None
    """Keys of the images to restore; None for all."""
    degrade: tuple[OneDegradation, ...]
    """What clean images go through first; none for images that are degraded already."""
    restorer: RestorerSpec
    limits: Limits
    compute: Compute
    weights: str | None
    """Folder or bucket of pulled weights; None for this machine's own."""
    trained: TrainedMap | None = None
    """Of a restorer that was trained in the workspace: which map."""
    recipe: str
    """Digest of what images of the shard are restored from and by, whichever are chosen."""
    earlier: tuple[str, ...] = ()
    """Shards of restored images, of which those of this recipe need not be restored again."""

    def subject(self) -> Subject:
        """Return the shard of restored images."""
        return Subject(self.dataset, self.shard)


@task(name="restore", task_run_name="restore {job.dataset} {job.shard}", **SHARD_POLICY)
def restore_shard(job: RestoreJob) -> Outcome:
    """Write one shard of restored images, unless another run has; safe to repeat."""
    return told("restored", job, carry_out(job, write_restored))


def write_restored(job: RestoreJob) -> Outcome:
    """Restore the images of one shard, and write them without loss.

    While the restorer works on one window of images, the next is read, decoded and degraded, and
    the last is encoded.

    Raises:
        OSError: images were left out because the device had no memory for any.
        WeightsMissing: the restorer's checkpoint is not at hand, or no restorer.
        ConfigurationError: it does not undo what the images went through.
    """
    with leased(job.compute.device) as device:
        return timed(device, partial(_write, job, device))


def _write(job: RestoreJob, device: str, watch: Stopwatch) -> Outcome:
    workspace = job.opened()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(cores())) for _ in range(3)]
        with watch.lap("load networks"):
            restoration = _restoration(job, device, pools[0])
        with watch.lap("read"):
            members = _members(job, workspace)
        publication = stack.enter_context(publishing(workspace, job.target))
        source = Source(
            store=workspace.store,
            limits=job.limits,
            degradations=job.degrade,
            enlarged=restoration.enlarged,
        )
        before = RestoredBefore.of(workspace, job.earlier, job.recipe)

        def load(window: list[Member]) -> _Window:
            copies = before.copies(workspace.store, window)
            missing = [member for member in window if member.key not in copies]
            keys = [member.key for member in window]
            return _Window(keys, copies, source.load(missing, pools[1]))

        loaded = watch.each("read", read_ahead(load, windows(members, job.compute.batch)))
        table, publication.digest = write_shard(
            job.shard,
            as_done(_restored(loaded, restoration, watch, pools[2])),
            *(publication.file(f"{job.target.artifact}.{end}") for end in SHARD_ENDINGS),
        )
        restoration.batches.require_room()
        listed = outcome_of(table)
        remarks = listed.remarks | restoration.batches.remarks
        outcome = listed.model_copy(update={"remarks": remarks, "seams": restoration.seams.numbers})
        publication.facts |= {**outcome.facts(), **watch.facts(), "recipe": job.recipe}
    return outcome


def _restoration(job: RestoreJob, device: str, pool: Executor) -> Restoration:
    """Return the restorer of a job, loaded and tried out, before any image is read."""
    compute, degradations = job.compute, job.degrade or job.restorer.undoes
    restorer = _restorer(job, device)
    restorer.require_fitting(degradations)
    return Restoration(
        restorer=restorer,
        degradations=degradations,
        batch=compute.batch,
        batches=Batches("restore", device),
        most_pixels=job.limits.max_pixels,
        pool=pool,
    )


def _restorer(job: RestoreJob, device: str) -> LoadedRestorer:
    """Return the restorer of a job, loaded; one that was trained is in the workspace.

    Raises:
        StepMissing: it is to be trained, and no map of it is named.
        WeightsMissing, ArtifactDamaged: its weights are not at hand, or not whole.
    """
    compute = job.compute
    if not isinstance(job.restorer, ResidualTransport):
        weights = Weights.of(job.weights)
        return load_restorer(job.restorer, device, weights, compute.precision, compute.tile)
    if job.trained is None:
        raise StepMissing("the restorer must be trained, but no map is named; run `dotpipe train`")
    return load_trained_map(job.trained, job.opened().store, device, compute.tile)


def _members(job: RestoreJob, workspace: Workspace) -> list[Member]:
    members = workspace.members(job.origin, job.shard)
    if job.chosen is None:
        return members
    chosen = set(job.chosen)
    return [member for member in members if member.key in chosen]


def _restored(
    loaded: Iterator[_Window], restoration: Restoration, watch: Stopwatch, pool: Executor
) -> Iterator[Accepted | Refused]:
    """Yield what becomes of images in their order; one window is encoded beside the next."""
    pending: list[Accepted | Future[Accepted | Refused]] = []
    for keys, copies, degraded in loaded:
        with watch.lap("restore"):
            made = restoration.restore(degraded)
        yield from map(_result, pending)
        coded = (pool.submit(_coded, *pair) for pair in zip(degraded, made, strict=True))
        pending = [copies[key] if key in copies else next(coded) for key in keys]
    yield from map(_result, pending)


def _result(one: Accepted | Future[Accepted | Refused]) -> Accepted | Refused:
    return one if isinstance(one, Accepted) else one.result()


def _coded(image: Degraded, made: Pixels | str) -> Accepted | Refused:
    """Return a restored image as a member of the shard, or why it is none."""
    key = image.member.key
    try:
        if isinstance(made, str) or image.raster is None:
            raise ImageRefused(str(made))
        coded, file_format = encode_lossless(_as_file(image.raster, made))
    except ImageRefused as refusal:
        return Refused(key=key, source=key, reason=str(refusal))
    return Accepted(
        key=key,
        source=key,
        data=coded,
        sha256=hashlib.sha256(coded).hexdigest(),
        extension=extension_of(file_format),
        width=made.shape[1],
        height=made.shape[0],
        sides=image.sides,
    )


def _as_file(raster: Raster, made: Pixels) -> Raster:
    """Return a restored image with what its file said; alpha is enlarged as the image was."""
    if raster.alpha is None or raster.alpha.shape == made.shape[:2]:
        return raster.showing(with_hidden(made, raster))
    rows, columns = (
        np.arange(side) * before // side
        for side, before in zip(made.shape, raster.alpha.shape, strict=False)
    )
    return dataclasses.replace(raster, pixels=made, alpha=raster.alpha[np.ix_(rows, columns)])
