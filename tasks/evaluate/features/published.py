"""The files of features, class probabilities and moments that lie beside metric tables."""

from typing import NamedTuple

from tasks.evaluate.score_tables import ScoreTables
from tasks.io.artifacts.feature_sums import SumFile
from tasks.io.workspace import Signal, features_folder, sums_folder

Leaves = tuple[tuple[str, str], ...]
"""The leaves of a data set whose features are added up: their names, and the fingerprints of what
the sums are of; none where tables are read one by one."""


class FeatureFiles(NamedTuple):
    """The files that a set of images has its features in."""

    paths: list[str]
    """Of the tables, in the order of shards."""
    sums: list[SumFile]
    """What they are added up to; none where the tables are read one by one."""


NO_FILES = FeatureFiles([], [])


class PublishedFiles(NamedTuple):
    """The files that were published with the metric tables of a signal, shard by shard.

    Earlier runs with other options may have left more files in the folders.
    """

    tables: ScoreTables
    paths: frozenset[str]
    leaves: Leaves = ()

    @classmethod
    def of(cls, tables: ScoreTables, leaves: Leaves = ()) -> "PublishedFiles":
        """The files of some metric tables, as their records have them."""
        paths = frozenset(path for facts in tables.records() for path in facts["files"])
        return cls(tables, paths, leaves)

    def features(self, point: Signal, network: str = "") -> FeatureFiles:
        """The features of the signal, or of a point of the curve.

        Args:
            point: the signal, or that point.
            network: whose features they are; empty for the first.
        """
        paths = self._named(point, "parquet", network)
        leaves = self.leaves if paths else ()
        sums = [SumFile(self.sums_of(point, name, network), mark) for name, mark in leaves]
        return FeatureFiles(paths, sums)

    def sums_of(self, point: Signal, leaf: str, network: str = "") -> str:
        """The path of what the features of a leaf are added up to.

        Args:
            point: the signal, or a point of the curve.
            leaf: its name.
            network: whose features they are; empty for the first.
        """
        folder = features_folder(self.tables.dataset, self.tables.results, point, network)
        return f"{sums_folder(folder)}/{leaf}.safetensors"

    def classes(self, point: Signal) -> list[str]:
        """The sums of class probabilities, by the first network."""
        return self._named(point, "classes.safetensors")

    def latents(self, point: Signal) -> list[str]:
        """The moments of latent patches."""
        return self._named(point, "safetensors")

    def _named(self, point: Signal, ending: str, network: str = "") -> list[str]:
        folder = features_folder(self.tables.dataset, self.tables.results, point, network)
        found = (f"{folder}/{shard}.{ending}" for shard in self.tables.shards)
        return [path for path in found if path in self.paths]
