"""The metrics of single images, in words for the pictures of the page."""

from collections.abc import Collection, Mapping

from tasks.enhance.signals import signals_to_score
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import ranked_metrics
from tasks.io.workspace import INPUT, Signal
from tasks.report.pages import number
from tasks.report.tables.names import short_names


def values_in_words(
    run: FittedRun, facts: Mapping[str, str], shard: str, keys: Collection[str]
) -> dict[tuple[Signal | None, str], str]:
    """The metrics of some images of a shard, as they came and at every written alpha.

    Args:
        run: a finished run.
        facts: the fidelity table's metadata.
        shard: that holds the images.
        keys: of the images.

    Returns:
        a phrase for each signal and key; none where an image has no metrics.
    """
    metrics, names = ranked_metrics(facts), short_names(facts)
    signals = [s for s in signals_to_score(run.config) if s.name == "enhanced" or s == INPUT]
    found = dict[tuple[Signal | None, str], str]()
    for signal in signals:
        tables = ScoreTables(run.workspace, run.config.restored_name, run.results, signal, [shard])
        for table in tables.read(["key", *(metric.column for metric in metrics)]):
            for row in table.to_pylist():
                if row["key"] in keys and row["psnr"] is not None:
                    found[signal, row["key"]] = ", ".join(
                        f"{metric.title.format_map(names)} "
                        + metric.in_unit(number(row[metric.column], metric.digits or 0))
                        for metric in metrics
                        if row.get(metric.column) is not None
                    )
    return found
