"""Features of the signals of a shard, which are written beside its metric tables."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from dot_kernels import GaussianMoments
from dot_kernels.metrics import ClassSums
from dot_kernels.metrics.feature_statistics import GROUPS
from dot_kernels.moments import merge
from tasks.io.artifacts.features import FeatureWriter, save_class_sums
from tasks.io.artifacts.moments import read_moments, save_moments
from tasks.io.draws import draws_of
from tasks.io.ledger import Publication
from tasks.io.networks.features.extractors import Seen
from tasks.io.store import Store
from tasks.io.workspace import Signal

LATENT_PATCHES = "latent_patches"
"""Name of the moments in the files that hold those of latent patches of all images."""

LATENT_GROUPS = tuple(f"{LATENT_PATCHES}_{group}" for group in range(GROUPS))
"""Names of those of each group of images, by which the Gelbrich distance's error is found."""

_LARGEST_GROUPED = 256
"""Features of a patch above which groups would take too much room: ten matrices of that size."""


def no_moments(dimension: int) -> tuple[GaussianMoments, ...]:
    """Moments of no latent patches yet: of every group of images, or of all images together.

    Groups are kept where a patch has at most 256 features.
    """
    count = GROUPS if dimension <= _LARGEST_GROUPED else 1
    return (GaussianMoments.zero(dimension),) * count


@dataclass(frozen=True, kw_only=True)
class Features:
    """Which features are written beside which metric table, and where."""

    signals: dict[Signal, tuple[Signal, ...]]
    """For the signal of each table those that have files of features: the points of a curve,
    or the signal itself."""
    folders: dict[Signal, str]
    """For each signal with features, the folder of its files in the workspace."""
    dimension: int | None
    """Length of the network's features; None where there is no network."""
    networks: dict[str, str]
    """Names of the networks by metric, for the metadata of the tables."""

    def files(
        self,
        tables: Mapping[Signal, Publication],
        extension: str,
        wanted: Collection[Signal] | None = None,
    ) -> dict[Signal, Path]:
        """Return a new file for each signal with features, as a part of its table's publication.

        Args:
            tables: the publication of each metric table.
            extension: of the files, without the leading dot.
            wanted: signals that get a file; None for all.
        """
        files = {}
        for table_signal, table in tables.items():
            shard = table.artifact.rpartition("/")[2]
            for signal in self.signals[table_signal]:
                if wanted is None or signal in wanted:
                    files[signal] = table.file(f"{self.folders[signal]}/{shard}.{extension}")
        return files


class FeatureTable:
    """The features of one signal, written as they come, and the sums of its class probabilities.

    ``sums`` is None where the network gives no classes, and for points of curves, of which no
    Inception Score is shown.
    """

    def __init__(self, path: Path, dimension: int, network: str, signal: Signal) -> None:
        self._writer = FeatureWriter(path, dimension, network)
        # No Inception Score is computed at points of curves.
        self._has_score = not signal.is_curve
        self.sums: ClassSums | None = None

    def add(self, keys: list[str], seen: list[Seen]) -> None:
        """Append the features of pictures with these keys, in this order."""
        self._writer.add(keys, [one.features for one in seen])
        logits = [one.logits for one in seen if one.logits is not None]
        if logits and self._has_score:
            part = ClassSums.of(torch.stack(logits), draws_of(keys))
            self.sums = part if self.sums is None else self.sums + part

    def close(self) -> None:
        """Write the end of the table; closing again does nothing."""
        self._writer.close()


def open_feature_tables(
    features: Features, tables: Mapping[Signal, Publication], stack: ExitStack
) -> dict[Signal, FeatureTable]:
    """Return a table of features for each signal that has some, to be closed with the stack."""
    if features.dimension is None:
        return {}
    network = features.networks["features"]
    return {
        signal: stack.enter_context(
            closing(FeatureTable(path, features.dimension, network, signal))
        )
        for signal, path in features.files(tables, "parquet").items()
    }


def save_sums(
    features: Features,
    tables: Mapping[Signal, Publication],
    feature_tables: Mapping[Signal, FeatureTable],
    moments: Mapping[Signal, Sequence[GaussianMoments]],
) -> None:
    """Write the sums of classes of closed tables, and the moments, each beside its metrics.

    Args:
        features: says where.
        tables: the publication of each metric table.
        feature_tables: closed, by signal.
        moments: of the latent patches of each scored signal, by groups of images or of all.
    """
    sums = {s: table.sums for s, table in feature_tables.items() if table.sums is not None}
    for signal, path in features.files(tables, "classes.safetensors", sums).items():
        save_class_sums(sums[signal], path)
    for signal, path in features.files(tables, "safetensors", moments).items():
        groups = moments[signal]
        named = dict(zip(LATENT_GROUPS, groups, strict=True)) if len(groups) == GROUPS else {}
        save_moments({LATENT_PATCHES: merge(groups), **named}, path)


def read_sums(store: Store, path: str) -> tuple[GaussianMoments, ...]:
    """Return the moments that ``save_sums`` wrote, by groups of images or of all together.

    Raises:
        FileNotFoundError: there is no such file.
        ArtifactDamaged: the file does not hold what was written.
    """
    parts = read_moments(store, path)
    is_grouped = all(name in parts for name in LATENT_GROUPS)
    return tuple(parts[name] for name in (LATENT_GROUPS if is_grouped else (LATENT_PATCHES,)))
