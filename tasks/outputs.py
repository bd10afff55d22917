"""The artifacts of one pass over a shard, open side by side and published together."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dot_kernels import GaussianMoments
from tasks.io.artifacts import save_moments
from tasks.io.images import Format, extension_of
from tasks.io.ledger import Publication
from tasks.io.scores import write_scores
from tasks.io.shards import Member, TarWriter, member_name
from tasks.io.workspace import Signal, Workspace
from tasks.jobs import Outcome, Target, count_reasons
from tasks.progress import advance

LATENT_PATCHES = "latent_patches"


class Output(NamedTuple):
    """An artifact of the pass, and the signal it holds."""

    signal: Signal
    target: Target


class Finished(NamedTuple):
    """One picture after scoring and encoding; ``reason`` says why it has no images."""

    member: Member
    rows: dict[Signal, dict[str, Any]]
    files: dict[Signal, bytes]
    reason: str | None


@dataclass
class Stopwatch:
    """Where the time of a shard goes, as its thread sees it."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def lap(self, part: str) -> Iterator[None]:
        """Count the time of a block under a name."""
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def rounded(self) -> dict[str, float]:
        """Seconds by name, to the millisecond."""
        return {part: round(value, 3) for part, value in self.seconds.items()}


class Outputs:
    """Tars and tables of a shard; nothing is visible until the stack closes well."""

    def __init__(
        self,
        workspace: Workspace,
        tars: Iterable[Output],
        tables: Iterable[Output],
        file_format: Format,
        stack: ExitStack,
    ) -> None:
        self._extension = extension_of(file_format)

        def publication(output: Output) -> Publication:
            target = output.target
            return stack.enter_context(
                workspace.ledger.publishing(target.artifact, target.fingerprint, target.withdrawn)
            )

        self._tars = {output.signal: publication(output) for output in tars}
        self._tables = {output.signal: publication(output) for output in tables}
        self._streams = {
            signal: stack.enter_context(tar.file(f"{tar.artifact}.tar").open("wb"))
            for signal, tar in self._tars.items()
        }
        self._writers = {signal: TarWriter(stream) for signal, stream in self._streams.items()}
        self._rows: dict[Signal, list[dict[str, Any]]] = {signal: [] for signal in self._tables}
        self._reasons: list[str] = []
        self._images = 0

    def write(self, finished: Iterable[Finished]) -> None:
        """Append pictures in their order."""
        for item in finished:
            self._images += 1
            self._reasons += [item.reason] if item.reason is not None else []
            for signal, row in item.rows.items():
                self._rows[signal].append(row)
            for signal, data in item.files.items():
                name = member_name(item.member.key, self._extension)
                self._writers[signal].add(name, data)
            advance(1)

    def close(self, features: "Features", watch: Stopwatch) -> Outcome:
        """Write the tars' ends and the tables; the records say what was counted."""
        outcome = Outcome(images=self._images, refused=count_reasons(self._reasons))
        for writer in self._writers.values():
            writer.close()
        for signal, table in self._tables.items():
            write_scores(
                self._rows[signal], table.file(f"{table.artifact}.parquet"), features.lpips
            )
            features.save(signal, table)
        for publication in (*self._tars.values(), *self._tables.values()):
            publication.facts |= {**outcome.model_dump(), "laps": watch.rounded()}
        return outcome


@dataclass(frozen=True)
class Features:
    """Moments of latent patches by signal, and where each signal's are kept."""

    moments: dict[Signal, GaussianMoments]
    folders: dict[Signal, str]
    lpips: str

    def save(self, signal: Signal, table: Publication) -> None:
        """Add the moments of a signal to its table's publication, if it has any."""
        moments = self.moments.get(signal)
        if moments is None:
            return
        shard = table.artifact.rpartition("/")[2]
        path = table.file(f"{self.folders[signal]}/{shard}.safetensors")
        save_moments({LATENT_PATCHES: moments}, path)
