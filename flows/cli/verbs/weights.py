"""The verbs of `dotpipe weights`: networks' weights for machines without internet."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.paths import ConfigPath
from flows.cli.terminal import complain, say

weights = typer.Typer(no_args_is_help=True, help="Weights for machines without internet.")


@weights.command()
def pull(
    config: ConfigPath,
    folder: Annotated[str, typer.Argument(metavar="DEST", help="Folder or bucket to fill.")],
) -> None:
    """Put everything that CONFIG's networks need into DEST; `weights: DEST` then uses it."""
    from tasks.config import load_config
    from tasks.config.places import anchored
    from tasks.upkeep.pull import pull_weights

    complete, filled = True, anchored(folder, Path(), "DEST")
    for name, entry, note in pull_weights(load_config(config), filled):
        if entry is None:
            complete = False
            complain(f"error: {note}")
        else:
            say(f"{name}: {note}, {entry.size} bytes, sha256 {entry.sha256[:12]}")
    if not complete:
        raise typer.Exit(1)
