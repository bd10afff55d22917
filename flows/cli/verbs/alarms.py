"""The verb `alarms`: who is told when a night goes wrong."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.terminal import say

if TYPE_CHECKING:
    from flows.service.alarms import Recipient

_ADDRESS = "DOTPIPE_ALARMS_WEBHOOK"
"""Variable of the environment with the address of a webhook."""


def alarms(
    to: Annotated[
        str | None,
        typer.Option(
            metavar="BLOCK|-|nobody",
            help=f"Who is told: a block of the server, as in slack-webhook/on-call; '-' for a "
            f"webhook whose address is on standard input; by default the one in {_ADDRESS}, or "
            "who was told before.",
        ),
    ] = None,
) -> None:
    """Register the alarms with the Prefect server, and try out whether they reach somebody."""
    from flows.service.alarms import register_alarms, try_out
    from flows.service.service import served

    address = _given_address(to)
    with served() as server:
        registered = register_alarms(_recipient(to, address))
        telling = [alarm for alarm in registered if alarm.blocks]
        if telling:
            try_out()
        for alarm in registered:
            say(alarm.name)
        say(f"registered: {server}/automations")
    if telling:
        say("they reach somebody: a first message has been sent")
    else:
        say(f"they are on the dashboard only; to tell a webhook, put its address into {_ADDRESS}")


def _given_address(to: str | None) -> str | None:
    """The address of a webhook from standard input or the environment; None for no webhook.

    Raises:
        ConfigurationError: an address is on the command line, or is not where it must be.
    """
    from tasks.io.errors import ConfigurationError

    if to is None:
        return os.environ.get(_ADDRESS) or None
    if "://" in to:
        raise ConfigurationError(
            "--to must name a block, '-' or 'nobody', got an address, which others can read on "
            f"a command line; put it into {_ADDRESS}, or give --to - and write it to standard "
            "input"
        )
    if to != "-":
        return None
    given = typer.prompt("address", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    return str(given).strip()


def _recipient(to: str | None, address: str | None) -> "Recipient | None":
    """Whom the alarms tell; None leaves it as it is."""
    from flows.service.alarms import NOBODY, block, nobody, webhook

    if address is not None:
        return webhook(address)
    if to is None:
        return None
    return nobody() if to == NOBODY else block(to)
