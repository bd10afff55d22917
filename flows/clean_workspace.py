"""Clean-up of a workspace: a configuration goes in; what none of the workspace needs is removed."""

from prefect import State, flow
from prefect.states import Completed

from flows.steps.reports import leave
from tasks.config import Config
from tasks.io.errors import WorkspaceBusy
from tasks.jobs.policy import logger
from tasks.upkeep.cleaning.removal import total_of
from tasks.upkeep.cleaning.waste import Waste, clean
from tasks.upkeep.forecasts.room import in_bytes


@flow(name="gc", flow_run_name="gc {config.name}")
def clean_workspace(config: Config, keep: int | None = None) -> State[str]:
    """Remove what no configuration of the workspace needs, as `dotpipe gc` does, without asking.

    It ends without having removed anything while a run is at work on the workspace.

    Args:
        config: names the workspace. What it needs stays, and so does what a configuration of this
            name needed that was run there otherwise.
        keep: how many former operators keep their results where a configuration does not say;
            None for none of them.

    Returns:
        a state whose message says how much was removed.
    """
    try:
        waste = clean(config, keep or 0)
    except WorkspaceBusy as error:
        return Completed(name="Skipped", message=str(error))
    for sentence in waste.doubts:
        logger().warning(sentence)
    _show(waste)
    removed = f"removed {total_of(waste.folders)}" if waste.folders else "nothing to remove"
    return Completed(message=removed)


def _show(waste: Waste) -> None:
    """Leave a table of what was removed, folder by folder, on the run's page."""
    rows = [
        {"folder": folder, "files": files, "size": in_bytes(size)}
        for folder, (files, size) in waste.folders.items()
    ]
    if rows:
        leave(rows, "gc", "What was removed, as no configuration of the workspace needs it")
