"""Sums of features: statistics of many images in one file, those of the fit apart from the others.

Whether a number leaves out images of the fit is known only when all images have been counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from dot_kernels.metrics import FeatureStatistics
from dot_kernels.moments import GaussianMoments, merge
from tasks.io.artifacts.features import Apart
from tasks.io.artifacts.parquet import present
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.errors import StepMissing
from tasks.io.store import Store

_KIND = "feature sums"
_OTHERS, _FITTED = "others", "fitted"


class SumFile(NamedTuple):
    """A file of sums."""

    path: str
    """Below the workspace."""
    mark: str
    """The fingerprint of what it must have been made from."""


def save_feature_sums(sums: Apart, path: Path, mark: str) -> None:
    """Write statistics to a local file.

    Args:
        sums: of images, those of the fit apart.
        path: local file to write.
        mark: the fingerprint of what they were made from, which reading them will ask for.
    """
    tensors, capacity = dict[str, Tensor](), None
    named = {_OTHERS: sums.others, _FITTED: sums.fitted}
    parts = {name: part for name, part in named.items() if part is not None}
    for name, part in parts.items():
        if part.count > len(part.draws):  # else the sample says it all, in less room
            tensors |= _moments_tensors(part.groups, name)
        capacity = part.capacity
    if parts:
        tensors |= _sample_tensors(parts, sums.draws)
    save_tensors(tensors, path, _KIND, mark=mark, parts=list(parts), capacity=capacity)


def read_feature_sums(
    store: Store, files: Iterable[SumFile], *, with_fitted: bool
) -> FeatureStatistics | None:
    """Return the statistics of the images of all files together; None if there are none.

    Args:
        store: where the files lie.
        files: in the order of their shards.
        with_fitted: whether images of the fit count.

    Raises:
        ArtifactDamaged: a file is not there, or does not hold what was written.
        StepMissing: a file is of other shards or tables by now.
    """
    total: FeatureStatistics | None = None
    for path, mark in files:
        with present(path), store.fetched(path) as local:
            tensors, facts = load_tensors(local, _KIND, path)
        if facts["mark"] != mark:
            raise StepMissing(
                f"{path} must be of features with the fingerprint {mark}, got those with "
                f"{facts['mark']}, as where another run has features of other options or shards; "
                "run `dotpipe run CONFIG` again, or `dotpipe verify CONFIG` if that says the same"
            )
        if names := [name for name in facts["parts"] if with_fitted or name != _FITTED]:
            part = _statistics_from(tensors, names, facts["capacity"])
            total = part if total is None else total + part
    return total


def _moments_tensors(groups: Sequence[GaussianMoments], name: str) -> dict[str, Tensor]:
    """Return moments as tensors; of each scatter, which is symmetric, one half."""
    row, column = torch.triu_indices(groups[0].dimension, groups[0].dimension)
    return {
        f"{name}.counts": torch.tensor([group.count for group in groups]),
        f"{name}.means": torch.stack([group.mean for group in groups]),
        f"{name}.scatters": torch.stack([group.scatter[row, column] for group in groups]),
    }


def _moments_from(tensors: Mapping[str, Tensor], name: str) -> tuple[GaussianMoments, ...]:
    counts, means = tensors[f"{name}.counts"].tolist(), tensors[f"{name}.means"]
    dimension, groups = means.shape[1], list[GaussianMoments]()
    row, column = torch.triu_indices(dimension, dimension)
    for count, mean, half in zip(counts, means, tensors[f"{name}.scatters"], strict=True):
        scatter = half.new_empty(dimension, dimension)
        scatter[row, column] = half
        scatter[column, row] = half
        groups.append(GaussianMoments(count, mean, scatter))
    return tuple(groups)


def _sample_tensors(
    parts: Mapping[str, FeatureStatistics], draws: Int64[Tensor, "n"]
) -> dict[str, Tensor]:
    """Return the samples of all parts as one, in the order in which the images came."""
    sampled = torch.cat([part.draws for part in parts.values()])
    ordered = draws.sort(stable=True)
    came = ordered.indices[torch.searchsorted(ordered.values, sampled)].argsort(stable=True)
    fitted = torch.cat([torch.full_like(p.draws, name == _FITTED) for name, p in parts.items()])
    return {
        "features": torch.cat([part.features for part in parts.values()])[came],
        "draws": sampled[came],
        "fitted": fitted[came].bool(),
    }


def _statistics_from(
    tensors: Mapping[str, Tensor], names: Sequence[str], capacity: int
) -> FeatureStatistics:
    """Return the statistics of the images of these parts."""
    features, draws, fitted = (tensors[name] for name in ("features", "draws", "fitted"))
    counts, parts = torch.zeros_like(fitted), list[tuple[GaussianMoments, ...]]()
    for name in names:
        own = fitted == (name == _FITTED)
        counts |= own
        if f"{name}.counts" in tensors:
            parts.append(_moments_from(tensors, name))
        else:
            whole = FeatureStatistics.of(features[own], draws[own], capacity=capacity)
            parts.append(whole.groups)
    groups = tuple(merge(same) for same in zip(*parts, strict=True))
    return FeatureStatistics.with_sample(groups, features[counts], draws[counts], capacity=capacity)
