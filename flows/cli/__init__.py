"""The command ``dotpipe``. Starts without Prefect, so that help comes at once."""

from flows.cli.commands import app, main

__all__ = ["app", "main"]
