"""What the commands share: reading the configuration, Prefect and the bars, the results."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.terminal import console, say, show_table
from flows.runs.shutdown import graceful_shutdown

if TYPE_CHECKING:
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
    settings = parsed(config)
    tell_done(settings, do_missing(settings))


def do_missing(config: "Config") -> "list[StepReport] | None":
    """Do all that is missing; Prefect is not started if nothing is.

    Returns:
        what each step did; None if there was nothing to do.

    Raises:
        CorpusError: the folder of a corpus is not there.
        ShardsFailed: some shards could not be done.
    """
    from tasks.pipeline import is_finished
    from tasks.shard.corpus import require_sources
    from tasks.shard.suffixes import require_shared_keys

    if is_finished(config):
        return None
    require_sources(config.given_datasets())
    require_shared_keys(config)
    tell_taken_over(config)
    tell_large_patches(config)
    with watched():
        from flows.backfill import backfill

        steps, _ = backfill(config)
    return steps


def tell_done(config: "Config", steps: "list[StepReport] | None") -> None:
    """Print the results of a run, and where its report is.

    Args:
        config: whose run it was.
        steps: what ``do_missing`` has done.
    """
    from tasks.report.report import report_address

    show_results(config)
    if steps is None:
        say("nothing to do: every shard of every step is done")
    else:
        tell_refused(config, steps)
    say(f"report: {report_address(config)}")


def told(error: Exception) -> str | None:
    """What an error means that a user can mend; None for any other error."""
    from pydantic import ValidationError

    from tasks.io.errors import DotpipeError, StoreAway

    if isinstance(error, StoreAway):
        return f"{error}; what is done is kept: run again when it is there"
    if isinstance(error, ValidationError) and error.title.endswith("Settings"):  # of Prefect
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "an address"
        return (
            f"Prefect's settings must be right, got of {where!r}: {first['msg']}; correct the "
            "variable PREFECT_… or the Prefect profile"
        )
    return str(error) if isinstance(error, DotpipeError) else None


def tell_taken_over(config: "Config") -> None:
    """Print which data sets another configuration of the same name, or an earlier one, has made."""
    from tasks.config.registry import taken_over

    for sentence in taken_over(config):
        typer.secho(f"note: {sentence}", fg="yellow", err=True)


def tell_large_patches(config: "Config") -> None:
    """Print a warning if the patches are so large that the fit takes very long."""
    from tasks.config.patch_counts import too_many

    if sentence := too_many(config.codec, config.patch_size):
        typer.secho(f"warning: {sentence}", fg="yellow", err=True)


def tell_refused(config: "Config", steps: "list[StepReport]") -> None:
    """Print how many images a run refused, for which reasons, and what can be done."""
    from flows.steps.reports import refused_images

    if refused := refused_images(config, steps):
        kinds = ", ".join(f"{count} × {kind}" for kind, count in refused.items())
        say(
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

    SIGTERM ends the block like Ctrl-C does. A block within another shares its server and bars.
    """
    from PIL import Image

    from flows.service.server import prefect_server
    from flows.steps.screen import Bars, screen

    if isinstance(screen.get(), Bars):
        yield
        return

    # Images over our own limit are refused with a reason; Pillow need not warn as well.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", "torch.meshgrid")  # in networks that spandrel brings
    terminal = console(stderr=True)
    with ExitStack() as stack:
        stack.enter_context(graceful_shutdown())
        with terminal.status("starting Prefect"):
            address = stack.enter_context(prefect_server())
        terminal.print(f"dashboard while this runs: {address}", soft_wrap=True)
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
    from tasks.config import Run
    from tasks.evaluate.summarise import read_summary, summary_artifact, summary_facts, warnings_of
    from tasks.fit.operators import fitted
    from tasks.report.missing_metrics import gaps
    from tasks.report.results import changes_text, results_text

    run = fitted(Run.of(config))
    artifact = summary_artifact(run)
    rows, facts = read_summary(run.workspace, artifact), summary_facts(run.workspace, artifact)
    show_table(*results_text(rows, facts), config.name)
    titles, lines = changes_text(rows, facts)
    if lines:
        show_table(titles, lines, "change against the input, image by image")
    for note in (*warnings_of(facts), *gaps(config, rows, facts)):
        say(note)


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
