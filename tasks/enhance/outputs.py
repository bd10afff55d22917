"""The artifacts of one pass over a shard, open side by side and published together."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from dot_kernels import GaussianMoments
from dot_kernels.metrics import ClassSums
from tasks.io.artifacts.features import FeatureWriter, save_class_sums
from tasks.io.artifacts.metrics import write_scores
from tasks.io.artifacts.moments import save_moments
from tasks.io.draws import draws_of
from tasks.io.images import Format, extension_of
from tasks.io.ledger import Publication
from tasks.io.networks.extractors import Seen
from tasks.io.shards import SHARD_ENDINGS, Accepted, Member, Refused, ShardWriter, read_sides
from tasks.io.store import Store
from tasks.io.workspace import CURVE, Signal, Workspace
from tasks.jobs import Outcome, Target, count_reasons, publishing
from tasks.jobs.progress import advance
from tasks.jobs.stopwatch import Stopwatch

LATENT_PATCHES = "latent_patches"


class Output(NamedTuple):
    """An artifact of the pass, and the signal it holds."""

    signal: Signal
    target: Target


class Finished(NamedTuple):
    """One picture after scoring and encoding; ``reason`` says why it has no images."""

    member: Member
    rows: dict[Signal, list[dict[str, Any]]]
    files: dict[Signal, bytes]
    features: dict[Signal, Seen]
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Features:
    """Which features belong to which table, and where they go.

    ``moments`` are those of latent patches, by signal; ``dimension`` is the network's,
    None without one; ``networks`` goes into the tables' metadata.
    """

    signals: dict[Signal, tuple[Signal, ...]]
    folders: dict[Signal, str]
    dimension: int | None
    networks: dict[str, str]
    moments: dict[Signal, GaussianMoments]


@contextmanager
def open_outputs(
    workspace: Workspace,
    tars: Iterable[Output],
    tables: Iterable[Output],
    features: Features,
    file_format: Format,
) -> Iterator["Outputs"]:
    """The artifacts of a shard, open for writing; published when the block ends well.

    If the block raises, nothing becomes visible.

    Args:
        workspace: where they are published.
        tars: enhanced images, a tar for each alpha.
        tables: metrics, a table for each signal or for the whole curve.
        features: what is gathered beside the tables.
        file_format: of the images in the tars.
    """
    with ExitStack() as stack:
        yield Outputs(
            workspace.store,
            _published(tars, workspace, stack),
            _published(tables, workspace, stack),
            features,
            extension_of(file_format),
            stack.enter_context,
        )


def _published(
    outputs: Iterable[Output], workspace: Workspace, stack: ExitStack
) -> dict[Signal, Publication]:
    """The publication of each output, which ends with the stack."""
    return {
        output.signal: stack.enter_context(publishing(workspace, output.target))
        for output in outputs
    }


class Outputs:
    """Tars, tables and features of a shard, which ``open_outputs`` opens and publishes."""

    def __init__(
        self,
        store: Store,
        tars: Mapping[Signal, Publication],
        tables: Mapping[Signal, Publication],
        features: Features,
        extension: str,
        opened: Callable[[AbstractContextManager[Any]], Any],
    ) -> None:
        self._store, self._tars, self._tables = store, tars, tables
        self._features, self._extension = features, extension
        self._writers = {
            signal: ShardWriter(
                tar.artifact.rpartition("/")[2],
                opened(tar.file(f"{tar.artifact}.tar").open("wb")),
            )
            for signal, tar in tars.items()
        }
        self._seen: dict[Signal, _FeatureTable] = {}
        if features.dimension is not None:
            for signal, path in self._feature_files("parquet").items():
                network = features.networks["features"]
                self._seen[signal] = opened(
                    _FeatureTable(path, features.dimension, network, signal)
                )
        self._rows: dict[Signal, list[dict[str, Any]]] = {signal: [] for signal in tables}
        self._reasons: list[str] = []
        self._images = 0

    def write(self, finished: Iterable[Finished]) -> None:
        """Append the pictures of a window in their order."""
        items = list(finished)
        sides = read_sides(self._store, [i.member for i in items]) if self._writers else {}
        for item in items:
            self._images += 1
            self._reasons += [item.reason] if item.reason is not None else []
            for signal, scores in item.rows.items():
                self._rows[signal] += scores
            for signal, writer in self._writers.items():
                side = sides.get(item.member.key)
                writer.add(_image(item, item.files.get(signal), self._extension, side))
        for signal, seen in self._seen.items():
            rows = [(i.member.key, i.features[signal]) for i in items if signal in i.features]
            seen.add([key for key, _ in rows], [row for _, row in rows])
        advance(len(items))

    def close(self, watch: Stopwatch, remarks: dict[str, int]) -> Outcome:
        """Write the tars' ends and the tables; the records say what was counted."""
        refused = count_reasons(self._reasons)
        outcome = Outcome(images=self._images, refused=refused, remarks=remarks)
        for signal, tar in self._tars.items():
            self._writers[signal].close(
                *(tar.file(f"{tar.artifact}.{end}") for end in SHARD_ENDINGS[1:])
            )
        for signal, table in self._tables.items():
            path = table.file(f"{table.artifact}.parquet")
            write_scores(self._rows[signal], path, self._features.networks)
        for seen in self._seen.values():
            seen.close()
        sums = {s: seen.sums for s, seen in self._seen.items() if seen.sums is not None}
        for signal, path in self._feature_files("classes.safetensors", sums).items():
            save_class_sums(sums[signal], path)
        for signal, path in self._feature_files("safetensors", self._features.moments).items():
            save_moments({LATENT_PATCHES: self._features.moments[signal]}, path)
        for publication in (*self._tars.values(), *self._tables.values()):
            publication.facts |= {**outcome.facts(), "laps": watch.so_far()}
        return outcome

    def _feature_files(
        self, extension: str, wanted: Collection[Signal] | None = None
    ) -> dict[Signal, Path]:
        """A file for each signal with features, as a part of its table's publication."""
        files = {}
        for output, table in self._tables.items():
            shard = table.artifact.rpartition("/")[2]
            for signal in self._features.signals[output]:
                if wanted is None or signal in wanted:
                    folder = self._features.folders[signal]
                    files[signal] = table.file(f"{folder}/{shard}.{extension}")
        return files


def _image(
    item: Finished, data: bytes | None, extension: str, side: bytes | None
) -> Accepted | Refused:
    """A picture on its way into an enhanced tar, or the row of one that is not enhanced."""
    member = item.member
    if data is None:
        return Refused(key=member.key, source=member.key, reason=item.reason or "not enhanced")
    return Accepted(
        key=member.key,
        source=member.key,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension=extension,
        width=member.width,
        height=member.height,
        side=side,
    )


class _FeatureTable:
    """The features of one signal, being written, and the sums of its class probabilities."""

    def __init__(self, path: Path, dimension: int, network: str, signal: Signal) -> None:
        self._writer = FeatureWriter(path, dimension, network)
        # No Inception Score is computed at points of the curve.
        self._has_score = signal.name != CURVE.name
        self.sums: ClassSums | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, keys: list[str], seen: list[Seen]) -> None:
        self._writer.add(keys, [one.features for one in seen])
        logits = [one.logits for one in seen if one.logits is not None]
        if logits and self._has_score:
            part = ClassSums.of(torch.stack(logits), draws_of(keys))
            self.sums = part if self.sums is None else self.sums + part

    def close(self) -> None:
        self._writer.close()
