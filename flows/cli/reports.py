"""Commands that look at finished reports: open one, compare two."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.session import ConfigPath, parsed, watched
from flows.cli.terminal import say

REMOTE = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
"""Variables that say that somebody looks at this terminal from another machine."""


def report(
    config: ConfigPath,
    download: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy the report into a folder.")
    ] = None,
) -> None:
    """Write the report over what has been evaluated."""
    settings = parsed(config, shards=True)
    with watched():
        from flows.evaluate_dataset import report_dataset

        address = report_dataset(settings)
    say(f"report: {address}")
    if download is not None:
        from tasks.report.copies import download_report

        say(f"downloaded: {download_report(settings, download)}")


def open_report(config: ConfigPath) -> None:
    """Open the report in a browser; over ssh, say where it is."""
    from tasks.report.copies import page_to_open

    page = page_to_open(parsed(config), Path(tempfile.gettempdir()))
    say(f"report: {page}")
    if not any(name in os.environ for name in REMOTE) and typer.launch(page.as_uri()) != 0:
        say("there is no browser to open it in")
