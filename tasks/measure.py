"""Measure the latent patches of a shard: encode its chosen images, take their moments."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from prefect import task
from torch import Tensor

from dot_kernels import Codec, GaussianMoments, patch_moments
from dot_kernels.enhancement import encode_padded, whole_cells
from tasks.config import Config
from tasks.io.artifacts import save_moments
from tasks.io.codecs import CodecSpec, Pixel, codec_identity, load_codec
from tasks.io.devices import pick_device
from tasks.io.images import Limits
from tasks.io.ledger import fingerprint
from tasks.io.pictures import (
    Picture,
    cores,
    equal_sizes,
    load_pictures,
    read_ahead,
    to_tensor,
    windows,
)
from tasks.io.workspace import Workspace, dataset_folder, moments_folder
from tasks.jobs import Job, Outcome, Planned, Target, aim, count_reasons, publishing
from tasks.policy import SHARD_POLICY, logger
from tasks.progress import advance
from tasks.sections import Compute
from tasks.select import Selection
from tasks.shard import finished_digest

KEPT_IMAGES, KEPT_DIMENSION = 1000, 512
"""Up to these, moments are also kept image by image, for error bars."""

NOT_FINITE = "latents are not finite: use float32, or check the codec"

WHOLE = "all"
"""Name of a shard's moments in its file; those of an image are named by ``image_name``."""


class MeasureJob(Job):
    """Moments of the latent patches of some images of one shard."""

    target: Target
    dataset: str
    shard: str
    chosen: tuple[str, ...]
    codec: CodecSpec
    patch_size: int
    by_image: bool
    weights: str | None
    compute: Compute
    limits: Limits


@task(name="measure", **SHARD_POLICY)
def measure_shard(job: MeasureJob) -> Outcome:
    """Write the moments of one shard; safe to repeat."""
    outcome = write_moments(job)
    logger().info("measured %s images=%d refused=%s", job.shard, outcome.images, outcome.refused)
    return outcome


def measure_name(config: Config) -> str:
    """What moments are measured with; those of other codecs lie beside them."""
    inputs = {
        "codec": codec_identity(config.codec, config.weights),
        "patch_size": config.patches.size,
        "precision": None if isinstance(config.codec, Pixel) else config.compute.precision,
    }
    return fingerprint("measure", inputs)[:16]


def plan_measurement(
    config: Config, dataset: str, chosen: dict[str, list[str]], workspace: Workspace
) -> list[Planned]:
    """A unit for every shard with chosen images."""
    folder = moments_folder(dataset, measure_name(config))
    survey = workspace.ledger.survey(folder)
    shards = workspace.ledger.survey(dataset_folder(dataset))
    planned = []
    for shard, keys in chosen.items():
        inputs = {
            "shard": finished_digest(shards, f"{dataset_folder(dataset)}/{shard}"),
            "keys": keys,
            "by_image": config.fit.images <= KEPT_IMAGES,
            "measure": measure_name(config),
        }
        target = aim(survey, f"{folder}/{shard}", "measure", inputs)
        job = (
            None
            if target is None
            else MeasureJob(
                workspace=workspace.url,
                target=target,
                dataset=dataset,
                shard=shard,
                chosen=tuple(keys),
                codec=config.codec,
                patch_size=config.patches.size,
                by_image=config.fit.images <= KEPT_IMAGES,
                weights=config.weights,
                compute=config.compute,
                limits=config.shards.limits(),
            )
        )
        planned.append(Planned(shard, len(keys), job))
    return planned


def image_name(key: str) -> str:
    """Name of one image's moments in the file of its shard."""
    return f"image/{key}"


def plan_both_measurements(
    config: Config, selection: Selection, workspace: Workspace
) -> list[Planned]:
    """The units of both sides of the fit."""
    sides = {config.source_name: selection.source, config.natural_name: selection.target}
    return [
        unit
        for dataset, chosen in sides.items()
        for unit in plan_measurement(config, dataset, chosen, workspace)
    ]


def write_moments(job: MeasureJob) -> Outcome:
    """Measure the chosen images of one shard."""
    workspace = job.opened()
    codec = load_codec(job.codec, job.compute.device, job.compute.precision, job.weights)
    dimension = codec.channels * job.patch_size**2
    by_image = job.by_image and dimension <= KEPT_DIMENSION
    whole, parts = GaussianMoments.zero(dimension), dict[str, GaussianMoments]()
    reasons: list[str] = []
    with publishing(workspace, job.target) as publication:
        for picture, latents in _encoded(job, workspace, codec):
            if latents is None:
                reasons.append(picture.reason or NOT_FINITE)
                continue
            moments = patch_moments(latents, job.patch_size)
            whole = whole + moments
            if by_image:
                parts[image_name(picture.member.key)] = moments
        outcome = Outcome(images=len(job.chosen), refused=count_reasons(reasons))
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_moments({WHOLE: whole, **parts}, path)
        publication.facts |= outcome.model_dump()
    return outcome


def _encoded(
    job: MeasureJob, workspace: Workspace, codec: Codec
) -> Iterator[tuple[Picture, Tensor | None]]:
    """Every chosen picture in the order of keys, with its latents (1, c, y, x) if it has any."""
    keys = set(job.chosen)
    members = [member for member in workspace.members(job.dataset, job.shard) if member.key in keys]
    device, batch = pick_device(job.compute.device), job.compute.batch
    with ThreadPoolExecutor(cores()) as pool:
        loaded = read_ahead(
            lambda window: load_pictures(workspace.store, window, job.limits, pool),
            windows(members, batch),
        )
        for pictures in loaded:
            latents: dict[str, Tensor] = {}
            for group in equal_sizes(pictures, batch):
                images = to_tensor([p.pixels for p in group if p.pixels is not None], device)
                encoded = whole_cells(encode_padded(images, codec), images, codec.factor)
                latents |= zip((p.member.key for p in group), torch.split(encoded, 1), strict=True)
            for picture in pictures:
                found = latents.get(picture.member.key)
                yield picture, found if found is not None and found.isfinite().all() else None
            advance(len(pictures))
