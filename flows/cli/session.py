"""What the commands share: reading the configuration, running all of it, the results."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from flows.cli.terminal import say, show_table, working
from flows.cli.watching import tell_ready, watched

if TYPE_CHECKING:
    from pydantic import BaseModel

    from flows.steps.reports import StepReport
    from tasks.config import Config
    from tasks.upkeep.status import StepStatus

Model = TypeVar("Model", bound="BaseModel")


def run_all(config: Path) -> None:
    """Do all that is missing, and show the results; Prefect is not started if nothing is.

    Args:
        config: path of the configuration.

    Raises:
        ConfigurationError: something would make the run fail; all of it is told at once.
        ShardsFailed: some shards could not be done.
    """
    settings = parsed(config)
    tell_done(settings, do_missing(settings), config)


def do_missing(config: "Config") -> "list[StepReport] | None":
    """Do all that is missing; Prefect is not started if nothing is.

    Returns:
        what each step did; None if there was nothing to do.

    Raises:
        ConfigurationError: something would make the run fail; all of it is told at once.
        ShardsFailed: some shards could not be done.
    """
    with working("looking at what is done"):
        from tasks.pipeline import is_finished

        finished = is_finished(config)
    if finished:
        _tidy_up(config)
        return None
    tell_taken_over(config)
    with watched(config, "run", first=tell_ready):
        from flows.backfill import backfill

        steps, _ = backfill(config)
    return steps


def _tidy_up(config: "Config") -> None:
    """Do what the end of a run does with results of former operators; print what was removed."""
    with working("looking for results of former operators"):
        from tasks.upkeep.cleaning.former import tidy_up

        sentence = tidy_up(config)
    if sentence:
        say(sentence)


def validated(kind: type[Model], tree: "dict[str, Any]") -> Model:
    """Return what words of the command line make, by the rules of a configuration.

    Raises:
        ConfigurationError: a word breaks a rule.
    """
    from pydantic import ValidationError

    from tasks.config.error_messages import explain
    from tasks.io.errors import ConfigurationError

    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        told = explain(Path("the line"), error, kind.model_json_schema())
        raise ConfigurationError(told) from error


def tell_done(config: "Config", steps: "list[StepReport] | None", path: Path) -> None:
    """Print the results of a run, what they lack, and where the report is.

    Args:
        config: whose run it was.
        steps: what ``do_missing`` has done.
        path: of the configuration, for the commands that are named.
    """
    from tasks.report.report import report_address

    show_results(config)
    if steps is None:
        say("nothing to do: every shard of every step is done")
    else:
        tell_refused(config, steps, path)
        tell_unscored(config, path)
        bound = "--max-change" if config.reference_name is None else "--min-psnr"
        for hint in (
            f"next: `dotpipe open {path}` shows the report in a browser,",
            f"  `dotpipe view {path}` all images, to compare,",
            f"  `dotpipe choose {path} {bound} N` says which alpha to take,",
            f"  `dotpipe export {path} FOLDER --alpha A` writes plain files",
        ):
            say(hint)
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
    from tasks.fit.latent_size import large_patches

    if sentence := large_patches(config):
        typer.secho(f"warning: {sentence}", fg="yellow", err=True)


def tell_refused(config: "Config", steps: "list[StepReport]", path: Path) -> None:
    """Print how many images a run refused, and the first few with the reasons; what can be done.

    Args:
        config: of the run.
        steps: what they have done.
        path: of the configuration, for the commands that are named.
    """
    from flows.steps.reports import left_out_in_words, refused_images
    from tasks.upkeep.refused import list_refused, named

    if sentence := left_out_in_words(steps):
        say(sentence)
    if refused := refused_images(config, steps):
        kinds = ", ".join(f"{count} × {kind}" for kind, count in refused.items())
        places = {(each.dataset, each.shard) for step in steps for each in step.refusals}
        names = named(list_refused(config, places), sum(refused.values()))
        say(
            f"refused: {kinds}{f': {names}' if names else ''}. `dotpipe refused {path}` names "
            "all. A file that is mended is taken in by the next run; `dotpipe retry` tries the "
            "others again"
        )


def tell_unscored(config: "Config", path: Path) -> None:
    """Print the first few images that have no metrics against the reference, and why.

    The arguments are those of ``tell_refused``.
    """
    from tasks.upkeep.refused import list_unscored, named

    if names := named(list_unscored(config)):
        say(f"without metrics against the reference: {names}. `dotpipe refused {path}` names all")


def parsed(config: Path, *, shards: bool = False) -> "Config":
    """Read a configuration.

    Args:
        config: path of the YAML file.
        shards: whether its data sets must be there and up to date.

    Raises:
        ConfigurationError: the file, or the folder of weights that it names, is not right.
        StepMissing: shards are asked for, and some are missing or out of date.
    """
    with working(f"reading {config}"):
        from tasks.config import load_config
        from tasks.upkeep.pull import require_pulled

        settings = load_config(config)
        require_pulled(settings)
        if shards:
            from tasks.pipeline import require_shards

            require_shards(settings)
    return settings


def show_results(config: "Config") -> None:
    """Print the outcome, the table of results, and notes on it.

    Raises:
        StepMissing: there are no results yet.
    """
    from tasks.config import Run
    from tasks.evaluate.summarise import read_summary, summary_artifact, summary_facts
    from tasks.fit.operators import fit_facts, fitted
    from tasks.report.measured_images import measured_in_words
    from tasks.report.missing_metrics import unmet_wishes
    from tasks.report.outcome import outcome, shrunk_in_words
    from tasks.report.tables.changes import changes_text
    from tasks.report.tables.names import footnote
    from tasks.report.tables.results import results_text, text_legend, text_warnings

    run = fitted(Run.of(config))
    artifact = summary_artifact(run)
    rows, facts = read_summary(run.workspace, artifact), summary_facts(run.workspace, artifact)
    taken_back = shrunk_in_words(fit_facts(run))
    for sentence in (*outcome(rows, facts), *taken_back, *measured_in_words(facts)):
        say(sentence)
    show_table(*results_text(rows, facts), config.name)
    if (changes := changes_text(rows, facts))[1]:
        show_table(*changes, "change against the input")
    legend = text_legend(rows, facts, config.enhance)
    told = legend, footnote(rows, facts), *text_warnings(rows, facts)
    for note in filter(None, (*told, *unmet_wishes(config, rows))):
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
