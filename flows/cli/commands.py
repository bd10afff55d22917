"""The command `dotpipe`: its verbs, nearly all of which take one configuration."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.bounds import (
    AtLeast,
    AtMost,
    best_in_words,
    bounds_of,
    require_wish,
    with_bounds,
)
from flows.cli.paths import ConfigPath, given_path, usable
from flows.cli.session import parsed, run_all, told
from flows.cli.single_steps import evaluate, fit, restore, shard, train
from flows.cli.terminal import complain, say, use_any_encoding, working
from flows.cli.trials.codecs import codecs
from flows.cli.trials.study import study
from flows.cli.verbs import cluster, removal, reports, upkeep
from flows.cli.verbs.alarms import alarms
from flows.cli.verbs.enhance import enhance
from flows.cli.verbs.files import apply, export, push
from flows.cli.verbs.init import init
from flows.cli.verbs.metrics import metrics
from flows.cli.verbs.status import status
from flows.cli.verbs.view import view
from flows.cli.verbs.weights import weights
from flows.cli.version import show_version
from flows.cli.watching import stopping

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}
"""Settings of Prefect unless the user has others: no telemetry, and no logs on the terminal.

The logs go to the Prefect server; the terminal shows bars and sentences."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deep Optimal Transport at data-set scale: repair restored images without training.",
)


def main() -> None:
    """Run the command line; for an error that a user can mend, print a sentence and exit with 1."""
    use_any_encoding()
    # A sentence of our own says so where that folder is needed.
    warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        with stopping():
            app()
    except Exception as error:
        if (sentence := told(error)) is None:
            raise
        complain(f"error: {sentence}")
        sys.exit(1)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show version and commit."
        ),
    ] = False,
) -> None:
    """Options before the verb."""


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=given_path, help="Folder to make it in.")
    ] = Path("demo"),
) -> None:
    """Run the whole job on the photographs that scikit-image brings along."""
    with working("laying photographs down"):
        from flows.cli.demo import write_demo

    with usable(folder, "the demo needs a folder that can be written to"):
        config = write_demo(folder)
    run_all(config)


def run(
    config: ConfigPath,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what, like `plan`.")] = False,
) -> None:
    """Do all of it: shard, restore, fit, enhance, evaluate, report. Done parts are not redone."""
    if dry:
        upkeep.plan(config)
    else:
        run_all(config)


@with_bounds
def choose(
    config: ConfigPath,
    *,
    best: Annotated[str | None, typer.Option(help=best_in_words())] = None,
    beyond: Annotated[
        bool, typer.Option("--beyond", help="Also alphas outside [0, 1], the theory's range.")
    ] = False,
    at_least: AtLeast = None,
    at_most: AtMost = None,
    **limits: float | None,
) -> None:
    """Say which alpha of the curve to take, and what it costs, from the tables that are there."""
    settings = parsed(config)
    from tasks.evaluate.bounds import metric_named
    from tasks.report.choose import choose_alpha
    from tasks.report.outcome import describe, read_results

    require_wish(best, limits, at_least, at_most)
    results = read_results(settings)
    bounds = bounds_of(limits, at_least or (), at_most or (), results.facts)
    wanted = None if best is None else metric_named(best, results.facts)
    choice = choose_alpha(results.rows, bounds, wanted, beyond=beyond, facts=results.facts)
    told = describe(choice, results.titles, results.facts, settings.enhance)
    for line in (*told, *results.notes):
        say(line)


_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (demo, enhance, init, codecs, upkeep.check, upkeep.plan, run, study),
    "The result": (
        reports.open_report,
        view,
        choose,
        export,
        push,
        apply,
        metrics,
        reports.compare,
    ),
    "The steps of a run, one by one": (shard, train, restore, fit, evaluate, reports.report),
    "What is done, and what is wrong": (
        status,
        upkeep.refused,
        upkeep.retry,
        upkeep.verify,
        upkeep.repair,
        upkeep.duplicates,
    ),
    "Room": (removal.gc, removal.compact, removal.forget),
    "Nights and workers": (
        cluster.up,
        cluster.down,
        cluster.deploy,
        cluster.undeploy,
        alarms,
        cluster.submit,
        cluster.backfill,
    ),
}
"""The commands, as the help shows them: together what is wanted together."""

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        _name = "open" if _command is reports.open_report else None
        app.command(_name, rich_help_panel=_panel)(_command)
app.add_typer(weights, name="weights", rich_help_panel="Begin")
