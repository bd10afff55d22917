"""How evaluation and report read the metric tables of a signal, one per shard, and their records.

What the records hold already is taken from there: how many images were offered and refused, and
which files were published with a table. Values of metrics, keys, and the reasons of images
without metrics are in the tables only.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.config.sections import Evaluate
from tasks.io.artifacts.metrics import NO_REFERENCE_GIVEN, NO_SUCH_KEY
from tasks.io.artifacts.more_metrics import facts_on_packages
from tasks.io.artifacts.parquet import facts_of, read_schema, read_table
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import Signal, Workspace, metrics_folder


def of_packages(evaluate: Evaluate) -> dict[str, tuple[str, ...]]:
    """The names of metrics that other packages compute, by the option that names them, if any."""
    asked = {"pyiqa": evaluate.pyiqa, "plug_ins": evaluate.plug_ins}
    return {option: names for option, names in asked.items() if names}


class ScoreTables(NamedTuple):
    """The metric tables of one signal of an enhanced data set."""

    workspace: Workspace
    dataset: str
    results: str
    """Name of the folders of what is made with the operator."""
    signal: Signal
    shards: Iterable[str]

    @property
    def folder(self) -> str:
        """The folder that has a table of every shard."""
        return metrics_folder(self.dataset, self.results, self.signal)

    def of(self, signal: Signal) -> "ScoreTables":
        """The tables of another signal over the same shards."""
        return self._replace(signal=signal)

    def read(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """Some columns of the tables, or all, in the order of the shards; several at once.

        Raises:
            ArtifactDamaged: a table is not there, or not whole.
        """
        read = partial(read_table, self.workspace.store, columns=columns)
        return side_by_side(read, (f"{self.folder}/{shard}.parquet" for shard in self.shards))

    def facts(self) -> dict[str, str]:
        """What the tables say of metrics that are not in the registry, by the first of them.

        Raises:
            ArtifactDamaged: that table is not there, or not whole.
        """
        for shard in self.shards:
            schema = read_schema(self.workspace.store, f"{self.folder}/{shard}.parquet")
            return facts_on_packages(facts_of(schema))
        return {}

    def records(self) -> Iterator[dict[str, Any]]:
        """The bodies of the tables' records, in the order of the shards; several are read at once.

        Each has ``images``, how many the shard has; ``refused``, how many of them could not be
        enhanced, by kind of reason; and ``files``, the paths published with the table.
        """
        survey = self.workspace.ledger.survey(self.folder)
        records = (survey.records(f"{self.folder}/{shard}")[-1] for shard in self.shards)
        return side_by_side(self.workspace.ledger.facts, records)

    def unscored(self) -> str:
        """A sentence on images that lack a reference, and why; empty if none lacks one.

        It is empty as well where the configuration names no reference.

        Raises:
            ArtifactDamaged: a table is not there, or not whole.
        """
        images, scored, kinds = 0, 0, Counter[str]()
        for table in self.read(["status", "reason"]):
            images += table.num_rows
            scored += pc.sum(pc.equal(table["status"], "ok")).as_py() or 0
            reasons = table.filter(pc.equal(table["status"], "unscored"))["reason"].to_pylist()
            kinds.update(
                reason if reason == NO_SUCH_KEY else reason.partition(":")[0] for reason in reasons
            )
        if not kinds or NO_REFERENCE_GIVEN in kinds:
            return ""
        why = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
        return (
            f"The metrics against the reference are of {scored} of {images} images. Others have "
            f"none: {why}. Keys are paths without extension; the tables of metrics say which."
        )
