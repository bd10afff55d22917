"""The workspace: one folder or bucket, where everything has its place.

    datasets/<name>/shard-000000.tar, shard-000000.parquet, shard-000000.idx, index.parquet
    datasets/<name>/matches/<reference>/shard-000000.parquet
    moments/<name>/selection.json, in-use/<configuration>.json
    moments/<name>/<measure>/shard-000000.safetensors
    operators/<name>/<operator>.safetensors
    enhanced/<name>/<operator>/alpha=+0.00/shard-000000.tar, .parquet, .idx
    metrics/<name>/<operator>/<signal>/shard-000000.parquet
    features/<name>/<operator>/<signal>/shard-000000.parquet, shard-000000.safetensors
    features/<name>/<network>/shard-000000.parquet
    reports/<name>/<operator>/report.html, curve.png, fidelity.parquet, run.json
    reports/<name>/<operator>/signals/<signal>.json
    ledger/…    a record for each of them; failures/…, claims/… while there are any
    forgotten/…      digests of keys that must not come back

A signal is the enhanced image at some alpha (``alpha+0.00``), at an alpha of the curve
(``curve/alpha+0.10``; one table of metrics for all of them), or a control. Metrics carry
alpha as a column; their folders have no ``=``, because readers of Hive-style folders
would take the folder's text for a second, conflicting column.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa

from tasks.io.catalogue import Catalogue, Place, read_shards
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger import Claims, Ledger, Snapshot
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import Member, members_of, read_index
from tasks.io.store import Store


class Signal(NamedTuple):
    """What is scored: the enhanced images at an alpha, the curve, or a control.

    ``curve`` with an alpha is one of its points. The controls are ``input`` (x*, as it
    came), ``codec`` (D(E(x)) of the reference) and ``codec_input`` (D(E(x*))).
    """

    name: str
    alpha: float | None = None

    @property
    def folder(self) -> str:
        """The signal's folder name."""
        if self.alpha is None:
            return self.name
        return f"{'curve/' if self.name == 'curve' else ''}alpha{self.alpha:+.2f}"

    @property
    def label(self) -> str:
        """What tables call the signal."""
        return self.name if self.alpha is None else f"alpha {self.alpha:g}"


CONTROLS = (Signal("input"), Signal("codec"), Signal("codec_input"))

CURVE = Signal("curve")

FORGOTTEN = "forgotten"
"""What `dotpipe forget` has taken out: a file for each key, named by its digest."""


@dataclass(frozen=True)
class Workspace:
    """Names in the workspace, and what lies there."""

    url: str
    still: bool = False
    """Answer from what the ledger was when it was first asked; for those who only look."""

    @cached_property
    def store(self) -> Store:
        """The folder or bucket."""
        return Store(self.url)

    @cached_property
    def ledger(self) -> Ledger:
        """What is done."""
        return Snapshot(self.store) if self.still else Ledger(self.store)

    @cached_property
    def claims(self) -> Claims:
        """Who is at work on what."""
        return Claims(self.store)

    def catalogue(self, dataset: str) -> Catalogue:
        """The catalogue of a data set.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its index is not there, though the ledger says so, or not whole.
        """
        with self._indexed(dataset):
            return Catalogue.of(self.store, dataset_folder(dataset))

    def shards(self, dataset: str) -> dict[str, int]:
        """The shards of a data set that have rows, and how many images each accepted.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its list is not there, though the ledger says so, or not whole.
        """
        with self._indexed(dataset):
            entries = read_shards(self.store, dataset_folder(dataset))
        return {entry.shard: entry.accepted for entry in entries if entry.rows}

    @contextmanager
    def _indexed(self, dataset: str) -> Iterator[None]:
        """The block reads what an index has written; without its record that counts as absent."""
        folder = dataset_folder(dataset)
        try:
            yield
        except ArtifactDamaged as error:
            if self.ledger.survey(folder).records(f"{folder}/index"):
                raise
            raise StepMissing(
                f"the data set {dataset!r} must have been sharded, but is not; run `dotpipe shard "
                "CONFIG` first"
            ) from error

    def keys(self, dataset: str) -> Iterator[Place]:
        """Key and shard of every accepted image, in the order of keys."""
        return self.catalogue(dataset).keys()

    def forgotten(self) -> dict[str, list[str]]:
        """Digests of the keys that must not come back, and the foreign tars that hold them."""
        paths = sorted(self.store.names(FORGOTTEN))
        found = zip(paths, side_by_side(self.store.read, paths), strict=True)
        return {
            path.rpartition("/")[2].removesuffix(".json"): json.loads(text) for path, text in found
        }

    def shard_index(self, dataset: str, shard: str) -> pa.Table:
        """The index of one shard."""
        return read_index(self.store, f"{dataset_folder(dataset)}/{shard}.parquet")

    def members(self, dataset: str, shard: str) -> list[Member]:
        """The accepted images of one shard."""
        return members_of(self.shard_index(dataset, shard), dataset_folder(dataset))


def dataset_folder(name: str) -> str:
    """Shards and index of a data set."""
    return f"datasets/{name}"


def matches_folder(name: str, reference: str) -> str:
    """Where each image's ground truth lies, shard by shard."""
    return f"datasets/{name}/matches/{reference}"


def moments_folder(name: str, measure: str) -> str:
    """Moments of latent patches, by what they were measured with."""
    return f"moments/{name}/{measure}"


def operator_artifact(name: str, operator: str) -> str:
    """A transport operator."""
    return f"operators/{name}/{operator}"


def enhanced_folder(name: str, operator: str, signal: Signal) -> str:
    """The enhanced data set at the signal's alpha."""
    return f"enhanced/{name}/{operator}/alpha={signal.alpha:+.2f}"


def metrics_folder(name: str, operator: str, signal: Signal | None = None) -> str:
    """The metric tables of one signal, or of all."""
    return f"metrics/{name}/{operator}" + (f"/{signal.folder}" if signal else "")


def features_folder(name: str, operator: str, signal: Signal) -> str:
    """The features of one signal, and the moments of its latent patches."""
    return f"features/{name}/{operator}/{signal.folder}"


def dataset_features_folder(name: str, network: str) -> str:
    """The features of a data set's own images."""
    return f"features/{name}/{network}"


def signals_folder(name: str, operator: str) -> str:
    """What each signal adds to the fidelity table."""
    return f"{reports_folder(name, operator)}/signals"


def reports_folder(name: str, operator: str) -> str:
    """The report and its tables."""
    return f"reports/{name}/{operator}"
