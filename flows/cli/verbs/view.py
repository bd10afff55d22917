"""The command that shows the whole enhanced data set as a page, and takes votes."""

import os
from contextlib import suppress
from typing import Annotated

import typer

from flows.cli.paths import ConfigPath
from flows.cli.session import parsed
from flows.cli.terminal import say, working
from flows.cli.verbs.reports import REMOTE


def view(
    config: ConfigPath,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; any free one by default.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it in a browser, if one is here.")
    ] = True,
) -> None:
    """Look at all enhanced images on a page of this machine, and vote on pairs blindly."""
    settings = parsed(config)
    with working("looking at what is done"):
        from flows.view.server import serve
        from tasks.view.viewed import Viewed

        viewed = Viewed.of(settings)
    if viewed.unfinished:
        say(f"{viewed.unfinished} shards are not finished, and are not shown")

    def tell(address: str, once: str) -> None:
        say(f"view: {address}")
        remote = any(name in os.environ for name in REMOTE)
        if remote:
            number = address.split(":")[2].partition("/")[0]
            say(f"from your own machine: `ssh -L {number}:127.0.0.1:{number} …`, then this address")
        say("it is for this machine alone; Ctrl-C ends it")
        if browser and not remote:
            typer.launch(once)  # other users see what programs are started with

    with suppress(KeyboardInterrupt):
        serve(viewed, port, tell)
