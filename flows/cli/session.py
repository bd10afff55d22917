"""What the commands share: reading the configuration, Prefect and the bars, the results."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.runs.shutdown import graceful_shutdown

if TYPE_CHECKING:
    from rich.console import Console

    from flows.steps.reports import StepReport
    from tasks.config import Config
    from tasks.upkeep.status import StepStatus


ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file; `dotpipe init` writes one.")
]


def run_all(config: Path) -> None:
    """Do all that is missing, and show the results; Prefect is not started if nothing is.

    Args:
        config: path of the configuration.

    Raises:
        CorpusError: the folder of a corpus is not there.
        ShardsFailed: some shards could not be done.
    """
    from tasks.pipeline import is_finished
    from tasks.report.report import report_address
    from tasks.shard.corpus import require_sources

    settings = parsed(config)
    if is_finished(settings):
        show_results(settings)
        typer.echo("nothing to do: every shard of every step is done")
    else:
        require_sources(settings.given_datasets())
        with watched():
            from flows.backfill import backfill

            steps, _ = backfill(settings)
        show_results(settings)
        tell_refused(steps)
    typer.echo(f"report: {report_address(settings)}")


def tell_refused(steps: "list[StepReport]") -> None:
    """Print how many images a run refused, for which reasons, and what can be done."""
    refused = sum((step.refused for step in steps), Counter[str]())
    if refused:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in refused.items())
        typer.echo(
            f"refused: {kinds}; the rows with status 'refused' of datasets/<name>/index.parquet "
            "and of the metrics say which. A file that is mended is taken in by the next run; "
            "`dotpipe retry` tries the others again"
        )


def parsed(config: Path, *, shards: bool = False) -> "Config":
    """Read a configuration.

    Args:
        config: path of the YAML file.
        shards: whether its data sets must be there and up to date.

    Raises:
        ConfigurationError: the file, or the folder of weights that it names, is not right.
        StepMissing: shards are asked for, and some are missing or out of date.
    """
    from tasks.config import load_config
    from tasks.upkeep.pull import require_pulled

    settings = load_config(config)
    require_pulled(settings)
    if shards:
        from tasks.pipeline import require_shards

        require_shards(settings)
    return settings


@contextmanager
def watched() -> Iterator[None]:
    """Run a Prefect server and draw bars on the terminal while the block runs its flows.

    SIGTERM ends the block like Ctrl-C does.
    """
    from PIL import Image

    from flows.service.server import prefect_server
    from flows.steps.screen import Bars, screen

    # Images over our own limit are refused with a reason; Pillow need not warn as well.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", "torch.meshgrid")  # in networks that spandrel brings
    terminal = console(stderr=True)
    with ExitStack() as stack:
        stack.enter_context(graceful_shutdown())
        with terminal.status("starting Prefect"):
            address = stack.enter_context(prefect_server())
        terminal.print(f"dashboard while this runs: {address}")
        bars = Bars(terminal)
        token = screen.set(bars)
        stack.callback(screen.reset, token)
        try:
            with bars.shown():
                yield
        except (KeyboardInterrupt, SystemExit):
            terminal.print("stopped; what is done is kept, run again to go on")
            raise


def show_results(config: "Config") -> None:
    """Print the table of results, and notes on it.

    Raises:
        StepMissing: there are no results yet.
    """
    from rich.table import Table

    from tasks.config import Run
    from tasks.evaluate.summarise import read_summary, summary_artifact, summary_facts, warnings_of
    from tasks.fit.operators import fitted
    from tasks.report.missing_metrics import gaps
    from tasks.report.results import changes_text, results_text

    run = fitted(Run.of(config))
    artifact = summary_artifact(run)
    rows, facts = read_summary(run.workspace, artifact), summary_facts(run.workspace, artifact)
    parts = {
        config.name: results_text(rows, facts),
        "change against the input, image by image": changes_text(rows, facts),
    }
    for title, (titles, lines) in parts.items():
        table = Table(*titles, title=title)
        for line in lines:
            table.add_row(*line)
        if lines:
            console().print(table)
    for note in (*warnings_of(facts), *gaps(config, rows, facts)):
        typer.echo(note)


def notes(step: "StepStatus") -> Iterator[str]:
    """Yield what there is to say of a step beside its counts, a sentence each."""
    if step.note:
        yield step.note
    for reason, count in step.reasons.items():
        yield (
            reason
            if step.asked == step.stale == count
            else f"{reason} ({count} of {step.asked} asked)"
        )
    yield from step.failures


def console(*, stderr: bool = False) -> "Console":
    """Return a console that writes to standard output, or to standard error."""
    from rich.console import Console

    return Console(stderr=stderr)
