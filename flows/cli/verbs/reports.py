"""Commands that look at finished reports: open one, compare two."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.paths import ConfigPath, given_path, usable
from flows.cli.session import parsed
from flows.cli.terminal import say, show_table, working
from flows.cli.trials.study import is_study
from flows.cli.watching import watched

REMOTE = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
"""Variables that say that somebody looks at this terminal from another machine."""


def report(
    config: ConfigPath,
    download: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=given_path, help="Copy the report into a folder."),
    ] = None,
) -> None:
    """Write the report over what has been evaluated."""
    settings = parsed(config, shards=True)
    with watched(settings, "report"):
        from flows.evaluate_dataset import report_dataset

        address = report_dataset(settings)
    say(f"report: {address}")
    if download is not None:
        from tasks.report.copies import download_report

        with usable(download, "--download must name a folder that can be written to"):
            page = download_report(settings, download)
        say(f"downloaded: {page}")


def open_report(config: ConfigPath) -> None:
    """Open the report of a run or the page of a study in a browser; over ssh, say where it is."""
    settings = None if is_study(config) else parsed(config)
    with working("looking for the report"):
        from tasks.report.copies import page_to_open, study_to_open

        page = study_to_open(config) if settings is None else page_to_open(settings)
    say(f"report: {page}")
    if not any(name in os.environ for name in REMOTE) and typer.launch(page.as_uri()) != 0:
        say("there is no browser to open it in")


def compare(
    first: Annotated[
        Path,
        typer.Argument(metavar="A", parser=given_path, help="YAML file of a finished run."),
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B", parser=given_path, help="YAML file of another.")
    ],
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="Write an HTML page as well."),
    ] = None,
) -> None:
    """Show two runs side by side, with differences over the images that both have."""
    names = [path.stem for path in (first, second)]
    if names[0] == names[1]:
        names = [str(path) for path in (first, second)]
    both = [parsed(path) for path in (first, second)]
    with working("comparing"):
        from tasks.report.comparison.compare import compare as compare_runs
        from tasks.report.comparison.compare import comparison_page
        from tasks.report.comparison.runs import Side

        sides = [Side.of(settings, name) for settings, name in zip(both, names, strict=True)]
        found = compare_runs(*sides)
    for sentence in found["sentences"]:
        say(sentence)
    for title, table in (("differences", found["paired"]), ("both", found["both"])):
        if table.lines:
            show_table(table.titles, [[str(cell) for cell in line] for line in table.lines], title)
    for option in found["options"]:
        say(f"{option.name}: {option.value}")
    if page is not None:
        with usable(page, "--page must name a file that can be written"):
            page.write_text(comparison_page(found), "utf-8")
        say(f"page: {page}")
