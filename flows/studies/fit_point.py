"""All of a study's point that goes before its images are enhanced."""

from prefect import flow

from flows.fit_transport import fit_transport
from flows.restore_dataset import restore_dataset
from flows.runners.choice import connected
from flows.runs.presence import at_work
from flows.runs.ready import require_ready_on_worker
from flows.shard_corpus import shard_corpus
from flows.train_restorer import train_restorer
from tasks.config import Config


@flow(name="fit-point", flow_run_name="fit point {config.name}")
@at_work
@connected
def fit_point(config: Config) -> None:
    """Shard, train, restore and fit what is missing of a point.

    Raises:
        ConfigurationError: on a worker, if something would make it fail; all of it is told at once.
        ShardsFailed: some shards could not be done.
    """
    require_ready_on_worker(config)
    shard_corpus(config)
    train_restorer(config)
    restore_dataset(config)
    fit_transport(config)
