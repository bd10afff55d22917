"""Restore: shards of clean images go in; they are degraded, restored, and written as shards.

The noise of an image is seeded by its key, so it does not depend on the shard.
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from prefect import task
from torch import Tensor

from dot_kernels.degradations import Degradation, degrade, total_downscaling
from dot_kernels.enhancement import pad_by_reflection
from tasks.config import Run
from tasks.io.catalogue import by_shard, disjoint_samples, sample
from tasks.io.draws import generator_of
from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, encode_lossless, extension_of
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.machine.devices import device_label, leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.networks.ddrm import DdrmRestorer
from tasks.io.networks.restorers import (
    LoadedRestorer,
    RestorerSpec,
    load_restorer,
    restorer_identity,
)
from tasks.io.networks.weights import Weights
from tasks.io.shards import (
    SHARD_ENDINGS,
    Accepted,
    Member,
    Refused,
    read_members,
    read_sides,
    write_shard,
)
from tasks.io.shards.loader import windows
from tasks.io.shards.sides import NONE, SideKind
from tasks.io.store import Store
from tasks.io.workspace import dataset_folder
from tasks.jobs import (
    Job,
    Outcome,
    Planned,
    Recipe,
    Subject,
    Target,
    carry_out,
    finished_digest,
    publishing,
)
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import as_done
from tasks.jobs.stopwatch import Stopwatch, timed
from tasks.shard.bad_images import outcome_of

_Sides = Mapping[SideKind, bytes]


class RestoreJob(Job):
    """Degrade and restore one shard of clean images."""

    target: Target
    clean: str
    """Name of the data set of clean images."""
    dataset: str
    """Name of the data set of restored images."""
    shard: str
    """Name of the shard, in both."""
    chosen: tuple[str, ...] | None
    """Keys of the images to restore; None for all."""
    degradations: tuple[Degradation, ...]
    restorer: RestorerSpec
    limits: Limits
    device: str
    weights: str | None
    """Folder or bucket of pulled weights; None for this machine's own."""

    def subject(self) -> Subject:
        """Return the shard of restored images."""
        return Subject(self.dataset, self.shard)


@task(name="restore", task_run_name="restore {job.dataset} {job.shard}", **SHARD_POLICY)
def restore_shard(job: RestoreJob) -> Outcome:
    """Write one shard of restored images, unless another run has; safe to repeat."""
    return told("restored", job, carry_out(job, write_restored_shard))


def plan_restoration(run: Run, clean: str, dataset: str) -> list[Planned]:
    """Return a unit for every shard to restore; done ones have no job.

    For the data set that is to be enhanced these are all clean shards; for one that is only
    fitted on, those with images that the fit will select. ``clean`` and ``dataset`` name the
    data sets of clean and of restored images.

    Raises:
        StepMissing: the clean data set is not finished.
        WeightsMissing: the restorer's checkpoint is not at hand.
    """
    if run.config.restore is None:
        return []
    survey = run.workspace.ledger.survey(dataset_folder(dataset))
    clean_survey = run.workspace.ledger.survey(dataset_folder(clean))
    restorer = restorer_identity(run.config.restore, run.weights)
    job_of = partial(
        RestoreJob,
        workspace=run.workspace.url,
        clean=clean,
        dataset=dataset,
        degradations=run.config.degrade,
        restorer=run.config.restore,
        limits=run.config.shards.limits(),
        device=run.config.compute.device,
        weights=run.config.weights,
    )
    planned = []
    for shard, (images, chosen) in _wanted(run, clean, dataset).items():
        inputs = {
            "chosen": chosen,
            "clean": finished_digest(clean_survey, f"{dataset_folder(clean)}/{shard}"),
            "degradations": repr(run.config.degrade),
            "restorer": restorer,
        }
        recipe, artifact = Recipe("restore", inputs), f"{dataset_folder(dataset)}/{shard}"
        target = recipe.aim(survey, artifact)
        job = None if target is None else job_of(target=target, shard=shard, chosen=chosen)
        planned.append(Planned(shard, images, job, (artifact,), recipe.mark()))
    return planned


def _wanted(run: Run, clean: str, dataset: str) -> dict[str, tuple[int, tuple[str, ...] | None]]:
    """Return for every shard how many images to restore, and their keys if not all of them."""
    if dataset == run.config.restored_name:
        return {shard: (images, None) for shard, images in run.workspace.shards(clean).items()}
    images, seed = run.config.fit.images, run.config.fit.seed
    if run.config.pairing == "unpaired":  # natural images that the other side does not use
        first, second = run.workspace.keys(clean), run.workspace.keys(clean)
        places, _ = disjoint_samples(first, second, images, seed)
    else:
        places = sample(run.workspace.keys(clean), images, seed)
    return {shard: (len(keys), tuple(keys)) for shard, keys in by_shard(places).items()}


def write_restored_shard(job: RestoreJob) -> Outcome:
    """Degrade and restore the images of one shard, and write them without loss.

    Raises:
        WeightsMissing: the restorer's checkpoint is not at hand.
    """
    with leased(job.device) as device:
        return timed(None, partial(_write, job, device))  # threads of the pool use the device


def _write(job: RestoreJob, device: str, watch: Stopwatch) -> Outcome:
    workspace = job.opened()
    with watch.lap("load networks"):
        restorer = load_restorer(job.restorer, device, Weights.of(job.weights))
    with watch.lap("read"):
        members = workspace.members(job.clean, job.shard)
    if job.chosen is not None:
        chosen = set(job.chosen)
        members = [member for member in members if member.key in chosen]

    def restored(read: tuple[Member, bytes, _Sides]) -> Accepted | Refused:
        return _restored(*read, job, restorer)

    with (
        publishing(workspace, job.target) as publication,
        ThreadPoolExecutor(cores()) as pool,
    ):
        clean = watch.each("read", _read(workspace.store, members))
        images = ordered_map(pool, restored, clean, ahead=2 * cores())
        table, publication.digest = write_shard(
            job.shard,
            as_done(watch.each("restore", images)),
            *(publication.file(f"{job.target.artifact}.{end}") for end in SHARD_ENDINGS),
        )
        outcome = outcome_of(table)
        publication.facts |= {**outcome.facts(), "laps": watch.so_far()}
    return outcome.model_copy(update={"device": device_label(device)})


def degrade_and_restore(
    clean: Tensor, degradations: tuple[Degradation, ...], restorer: LoadedRestorer, key: str
) -> Tensor:
    """Return one restored image, of the size of the clean one.

    If the degradations' factor of downscaling does not divide height or width, the image is
    continued by reflection, and the result cut back.

    Args:
        clean: image (c, h, w), float in [0, 1].
        degradations: applied one after the other, and undone by the restorer.
        restorer: takes and returns images in [0, 1].
        key: of the image; seeds the noise, and what is drawn to restore it.
    """
    factor, (height, width) = total_downscaling(degradations), clean.shape[1:]
    multiples = (-(-length // factor) * factor for length in (height, width))
    padded = pad_by_reflection(clean[None], *multiples)[0]
    degraded = degrade(padded, degradations, generator_of("degrade", 0, key))
    if isinstance(restorer, DdrmRestorer):
        return restorer.draw(degraded[None], degradations, [key])[0, :, :height, :width]
    return restorer(degraded, degradations)[:, :height, :width]


def _read(store: Store, members: list[Member]) -> Iterator[tuple[Member, bytes, _Sides]]:
    """Yield images with their bytes, and what stands beside each."""
    for window in windows(members, batch=16):
        sides = read_sides(store, window)
        for member, data in read_members(store, window):
            yield member, data, sides.get(member.key, NONE)


def _restored(
    member: Member, data: bytes, sides: _Sides, job: RestoreJob, restorer: LoadedRestorer
) -> Accepted | Refused:
    """Return one image restored, or why that cannot be done."""
    try:
        raster = decode(data, job.limits)
        clean = to_tensor([raster.pixels])[0]
        restored = degrade_and_restore(clean, job.degradations, restorer, member.key)
        if not bool(restored.isfinite().all()):
            raise ImageRefused("restorer's output is not finite: check its checkpoint")
        coded, file_format = encode_lossless(raster.showing(to_pixels(restored)))
    except ImageRefused as refusal:
        return Refused(key=member.key, source=member.key, reason=str(refusal))
    return Accepted(
        key=member.key,
        source=member.key,
        data=coded,
        sha256=hashlib.sha256(coded).hexdigest(),
        extension=extension_of(file_format),
        width=restored.shape[2],
        height=restored.shape[1],
        sides=sides,
    )
