"""Sums of features: statistics of many images in one file, those of the fit apart from the others.

Whether a number leaves out images of the fit is known only when all images have been counted.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dot_kernels import GaussianMoments
from dot_kernels.metrics import FeatureStatistics
from tasks.io.artifacts.parquet import present
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.errors import StepMissing
from tasks.io.store import Store

_KIND = "feature sums"


class SumFile(NamedTuple):
    """A file of sums."""

    path: str
    """Below the workspace."""
    mark: str
    """The fingerprint of what it must have been made from."""


def save_sums(
    others: FeatureStatistics | None, fitted: FeatureStatistics | None, path: Path, mark: str
) -> None:
    """Write statistics to a local file.

    Args:
        others: of images that are not of the fit; None of none.
        fitted: of images of the fit; None of none.
        path: local file to write.
        mark: the fingerprint of what they were made from, which reading them will ask for.
    """
    named = {"others": others, "fitted": fitted}
    found = {name: each for name, each in named.items() if each is not None}
    tensors: dict[str, Tensor] = {}
    for name, each in found.items():
        tensors |= _tensors_of(each, name)
    capacities = {name: each.capacity for name, each in found.items()}
    save_tensors(tensors, path, _KIND, mark=mark, capacities=capacities)


def read_sums(
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
                f"{path} must be of the features that are there, but another run has changed it; "
                "run `dotpipe run CONFIG` again"
            )
        for name, capacity in sorted(facts["capacities"].items(), reverse=True):  # others first
            if name != "fitted" or with_fitted:
                part = _statistics_from(tensors, name, capacity)
                total = part if total is None else total + part
    return total


def _tensors_of(statistics: FeatureStatistics, name: str) -> dict[str, Tensor]:
    """Return statistics as tensors; of each scatter, which is symmetric, one half."""
    groups = statistics.groups
    row, column = _half(groups[0].dimension)
    return {
        f"{name}.counts": torch.tensor([group.count for group in groups]),
        f"{name}.means": torch.stack([group.mean for group in groups]),
        f"{name}.scatters": torch.stack([group.scatter[row, column] for group in groups]),
        f"{name}.features": statistics.features,
        f"{name}.draws": statistics.draws,
    }


def _statistics_from(tensors: dict[str, Tensor], name: str, capacity: int) -> FeatureStatistics:
    counts, means = tensors[f"{name}.counts"].tolist(), tensors[f"{name}.means"]
    dimension = means.shape[1]
    row, column = _half(dimension)
    groups = []
    for count, mean, half in zip(counts, means, tensors[f"{name}.scatters"], strict=True):
        scatter = half.new_empty(dimension, dimension)
        scatter[row, column] = half
        scatter[column, row] = half
        groups.append(GaussianMoments(count, mean, scatter))
    features, draws = tensors[f"{name}.features"], tensors[f"{name}.draws"]
    return FeatureStatistics(tuple(groups), features, draws, capacity)


def _half(dimension: int) -> tuple[Tensor, Tensor]:
    """Return the rows and columns of the upper half of a square matrix, its diagonal included."""
    row, column = torch.triu_indices(dimension, dimension)
    return row, column
