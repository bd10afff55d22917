"""From folders of images to data sets of shards, restored ones made where asked for."""

from collections.abc import Iterable, Iterator

from prefect import flow

from flows.presence import at_work
from flows.steps import RUNNER, Report, leave_table, run_step
from tasks.config import Config
from tasks.index import index_dataset, plan_index
from tasks.io.cores import cores
from tasks.io.workspace import Workspace
from tasks.jobs import Planned
from tasks.restore import plan_restoration, restore_shard
from tasks.retire import plan_retirement, retire_shards
from tasks.shard import plan_shards, shard_images


@flow(
    name="shard-corpus",
    flow_run_name="shard {config.name}",
    task_runner=RUNNER,
)
@at_work
def shard_corpus(config: Config) -> list[Report]:
    """Shard every corpus of the configuration, and make the restored ones."""
    workspace = Workspace(config.workspace)
    workspace.store.sweep()
    at_once = config.compute.shards_at_once or cores()
    reports = []
    for dataset, corpus in config.given_datasets().items():
        units = plan_shards(config, corpus, dataset, workspace)
        shards = dict[str, str]()
        marked = _marked(units, shards)
        reports.append(run_step(f"shard {dataset}", shard_images, marked, at_once=at_once))
        _index(config, dataset, shards, workspace)
    at_once = config.compute.shards_at_once or 1
    for dataset, clean in config.made_datasets().items():
        planned = plan_restoration(config, clean, dataset, workspace)
        total = sum(unit.images for unit in planned)
        report = run_step(
            f"restore {dataset}", restore_shard, planned, at_once=at_once, total=total
        )
        reports.append(report)
        _index(config, dataset, {unit.unit: unit.fingerprint for unit in planned}, workspace)
    job = plan_retirement(config, Workspace(config.workspace, still=True))
    if job is not None:
        retire_shards(job)
    leave_table(reports, "data-sets")
    return reports


def _marked(units: Iterable[Planned], shards: dict[str, str]) -> Iterator[Planned]:
    """The units, whose fingerprints are kept by name, without their files."""
    for unit in units:
        shards[unit.unit] = unit.fingerprint
        yield unit


def _index(config: Config, dataset: str, shards: dict[str, str], workspace: Workspace) -> None:
    """Bring the index of a data set up to date."""
    job = plan_index(config, dataset, shards, workspace)
    if job is not None:
        index_dataset(job)
