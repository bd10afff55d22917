"""A finished run as one side of a comparison."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Config, Run
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.score_tables import ScoreTables
from tasks.evaluate.summarise import read_summary, summary_artifact, summary_facts
from tasks.fit.operators import FittedRun, fitted
from tasks.io.artifacts.metric_registry import metrics_of
from tasks.io.errors import StepMissing
from tasks.io.workspace import Signal


class Side(NamedTuple):
    """A run with its fidelity table; ``name`` tells it from the other one."""

    name: str
    run: FittedRun
    rows: list[dict[str, Any]]
    facts: dict[str, str]

    @classmethod
    def of(cls, config: Config, name: str) -> "Side":
        """The side of a configuration.

        Raises:
            StepMissing: it has not been evaluated.
        """
        run = fitted(Run.of(config))
        artifact = summary_artifact(run)
        if not run.workspace.store.exists(f"{artifact}.parquet"):
            raise StepMissing(
                f"{name} must have been evaluated to be compared, but is not; run `dotpipe "
                "evaluate` with it first"
            )
        rows, facts = read_summary(run.workspace, artifact), summary_facts(run.workspace, artifact)
        return cls(name, run, rows, facts)

    @property
    def signals(self) -> list[Signal]:
        """The written alphas and the input, as far as they were scored."""
        scored = signals_to_score(self.run.config)
        return [signal for signal in scored if signal.name in ("enhanced", "input")]

    def scores(self, signal: Signal) -> pa.Table:
        """Key and metrics of every image of a signal that has metrics."""
        dataset = self.run.config.restored_name
        shards = self.run.workspace.shards(dataset)
        tables = ScoreTables(self.run.workspace, dataset, self.run.results, signal, shards)
        columns = ["key", *(metric.column for metric in metrics_of("image", facts=self.facts))]
        return pa.concat_tables(tables.read(columns)).filter(pc.field("psnr").is_valid())
