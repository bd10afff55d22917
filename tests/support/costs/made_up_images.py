"""A workspace of any number of images that are not there: what a pass would have found is drawn.

Shards list keys, metric tables have metrics, and tables of features have features; nothing has a
pixel. Steps over whole data sets cannot tell: they are done for real.
"""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dot_kernels import GaussianMoments
from tasks.config import Config, Run
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.features import LATENT_PATCHES
from tasks.evaluate.extract import ExtractJob, extract_features
from tasks.fit.measure import WHOLE, MeasureJob
from tasks.io.artifacts.features import FeatureWriter
from tasks.io.artifacts.metrics import write_scores
from tasks.io.artifacts.moments import digest_moments, save_moments
from tasks.io.shards import Accepted, ShardWriter, TarWriter
from tasks.io.workspace import Workspace, features_folder
from tasks.jobs import Target, publishing
from tasks.pipeline import steps_of
from tasks.shard.shard import ShardJob

FEATURES = 512
"""Features of an image, as many as those of squeezenet."""

_CHANNELS = 12
"""Of latents of the pixel codec by factor 2, of which a patch is one pixel."""


def write_files(folder: Path, start: int, stop: int) -> None:
    """Add empty files, a thousand in a folder, named by their numbers from ``start`` on."""
    for number in range(start, stop):
        path = folder / f"{number // 1000:05d}" / f"{number:08d}.png"
        if number % 1000 == 0 or number == start:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_up(config: Config) -> None:
    """Do all up to features: what sees images by drawing what it would find, the rest for real."""
    run = Run.of(config)
    for step in steps_of(run):
        if step.repeats or step.verb not in ("shard", "fit", "enhance", "evaluate"):
            continue
        if step.verb == "evaluate" and step.work is not extract_features:
            continue
        fingerprints = dict[str, str]()
        for unit in step.plan():
            fingerprints[unit.unit] = unit.fingerprint
            if unit.job is not None and (drawn := _MADE_UP.get(type(unit.job))) is not None:
                drawn(unit.job, run.workspace)
            elif unit.job is not None:
                step.work.fn(unit.job)
        if step.closing is not None and (job := step.closing.plan(fingerprints)) is not None:
            step.closing.work.fn(job)


def _write_shard(job: ShardJob, workspace: Workspace) -> None:
    """A shard of images without content."""
    image = {"data": b"", "sha256": "0" * 64, "extension": "png", "width": 64, "height": 64}
    with publishing(workspace, job.target) as publication:
        writer = ShardWriter(job.shard, TarWriter(io.BytesIO()))
        for file in job.files:
            writer.add(Accepted(key=file.key, source=file.path, **image))
        endings = ("parquet", "idx")
        writer.close(*(publication.file(f"{job.target.artifact}.{each}") for each in endings))
        publication.facts |= {"images": len(job.files), "refused": {}}


def _write_moments(job: MeasureJob, workspace: Workspace) -> None:
    moments = {WHOLE: _patches(job.target, 100 * len(job.chosen))}
    with publishing(workspace, job.target) as publication:
        path = publication.file(f"{job.target.artifact}.safetensors")
        save_moments(moments, path, images={})
        publication.digest = digest_moments(moments)


def _write_results(job: EnhanceJob, workspace: Workspace) -> None:
    """Records of images that are not there, and tables of metrics and features."""
    keys = _keys(workspace, job.dataset, job.shard)
    for output in job.enhanced:
        with publishing(workspace, output.target) as publication:
            publication.facts |= {"images": len(keys), "refused": {}}
    for output in job.tables:
        with publishing(workspace, output.target) as publication:
            drawn = _drawn(output.target)
            named = {"shard": job.shard, "signal": output.signal.name, "status": "ok"}
            psnr, ssim = drawn.normal(27, 3, len(keys)), drawn.beta(9, 2, len(keys))
            rows = [
                {**named, "key": key, "alpha": output.signal.alpha, "psnr": a, "ssim": b}
                for key, a, b in zip(keys, psnr.tolist(), ssim.tolist(), strict=True)
            ]
            write_scores(rows, publication.file(f"{output.target.artifact}.parquet"), {})
            folder = features_folder(job.dataset, job.results, output.signal)
            beside = f"{folder}/{job.shard}"
            _write_features(publication.file(f"{beside}.parquet"), keys, drawn)
            patches = {LATENT_PATCHES: _patches(output.target, 100 * len(keys))}
            save_moments(patches, publication.file(f"{beside}.safetensors"))
            publication.facts |= {"images": len(keys), "refused": {}}


def _write_extracted(job: ExtractJob, workspace: Workspace) -> None:
    keys = _keys(workspace, job.dataset, job.shard)
    for extraction in job.extractions:
        with publishing(workspace, extraction.target) as publication:
            path = publication.file(f"{extraction.target.artifact}.parquet")
            _write_features(path, keys, _drawn(extraction.target))


_MADE_UP: dict[type, Callable[[Any, Workspace], None]] = {
    ShardJob: _write_shard,
    MeasureJob: _write_moments,
    EnhanceJob: _write_results,
    ExtractJob: _write_extracted,
}


def _write_features(path: Path, keys: list[str], drawn: np.random.Generator) -> None:
    writer = FeatureWriter(path, FEATURES, "drawn")
    rows = torch.from_numpy(drawn.standard_normal((len(keys), FEATURES), np.float32))
    writer.add(keys, list(rows))
    writer.close()


def _patches(target: Target, count: int) -> GaussianMoments:
    values = torch.from_numpy(_drawn(target).standard_normal((64, _CHANNELS)))
    one = GaussianMoments.of(values)
    return GaussianMoments(count, one.mean, one.scatter * count / 64)


def _keys(workspace: Workspace, dataset: str, shard: str) -> list[str]:
    return [member.key for member in workspace.members(dataset, shard)]


def _drawn(target: Target) -> np.random.Generator:
    """Numbers of an artifact's own, always the same."""
    return np.random.default_rng(zlib.crc32(target.artifact.encode()))
