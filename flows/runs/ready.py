"""What a worker's run looks at before its first shard, as `dotpipe run` does before it begins."""

from prefect.runtime import deployment

from tasks.config import Config
from tasks.jobs.policy import logger
from tasks.upkeep.check import require_ready


def require_ready_on_worker(config: Config, *, runs_networks: bool = True) -> None:
    """Check all that a run needs which a worker has begun, and log what its results will lack.

    A run that a command does in its own process was checked by the command.

    Args:
        config: what is wanted.
        runs_networks: whether this process will run networks itself, and not only order runs
            of others that do.

    Raises:
        ConfigurationError: something would make it fail; the message says all of it.
    """
    if deployment.get_id() is None:
        return
    for sentence in require_ready(config, runs_networks=runs_networks):
        logger().warning(sentence)
