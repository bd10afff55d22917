"""The command ``dotpipe``. It loads no Prefect before it is needed, so that help comes at once."""

from flows.cli.commands import app, main

__all__ = ["app", "main"]
