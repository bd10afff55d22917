"""The files of features, class probabilities and moments that lie beside metric tables."""

from typing import NamedTuple

from tasks.evaluate.score_tables import ScoreTables
from tasks.io.workspace import Signal, features_folder


class PublishedFiles(NamedTuple):
    """The files that were published with the metric tables of a signal, shard by shard.

    Earlier runs with other options may have left more files in the folders.
    """

    tables: ScoreTables
    paths: frozenset[str]

    @classmethod
    def of(cls, tables: ScoreTables) -> "PublishedFiles":
        """The files of some metric tables, as their records have them."""
        return cls(tables, frozenset(path for facts in tables.records() for path in facts["files"]))

    def features(self, point: Signal, network: str = "") -> list[str]:
        """The feature tables of the signal, or of a point of the curve.

        Args:
            point: the signal, or that point.
            network: whose features they are; empty for the first.
        """
        return self._named(point, "parquet", network)

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
