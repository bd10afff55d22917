"""Retention: at the end of a run, results of former operators go, as far as is wanted."""

from prefect.runtime import flow_run

from flows.runs.presence import presence
from flows.steps.screen import screen
from tasks.config import Config
from tasks.jobs.policy import logger
from tasks.upkeep.cleaning.former import tidy_up


def apply_retention(config: Config, keep: int | None = None, *claims: str) -> None:
    """Let the results of former operators go that the configuration's ``keep`` does not hold.

    What was removed, or why nothing could be, is told in the run's log and on the terminal.

    Args:
        config: which has been run to its end.
        keep: how many former operators keep their results where the configuration does not say;
            None for all.
        claims: names of claims that this run holds beside that of its presence.
    """
    run = flow_run.get_id()
    own = () if run is None else (presence(config, run),)
    if sentence := tidy_up(config, keep, (*own, *claims)):
        logger().info(sentence)
        screen.get().say(sentence)
