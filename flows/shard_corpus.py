"""From folders of images to data sets of shards, restored ones made where asked for."""

from collections.abc import Iterable, Iterator

from prefect import flow

from flows.runners.choice import computing, connected, copying
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.io.workspace import Workspace
from tasks.jobs import Planned
from tasks.shard.index import index_dataset, plan_index
from tasks.shard.restore import plan_restoration, restore_shard
from tasks.shard.retire import plan_retirement, retire_shards
from tasks.shard.shard import plan_shards, shard_images


@flow(name="shard-corpus", flow_run_name="shard {config.name}")
@at_work
@connected
def shard_corpus(config: Config) -> list[StepReport]:
    """Shard every corpus of the configuration, and make the restored ones."""
    workspace = Workspace(config.workspace)
    workspace.store.sweep()
    workspace.claims.sweep()
    reports = []
    for dataset, corpus in config.given_datasets().items():
        units = plan_shards(config, corpus, dataset, workspace)
        shards = dict[str, str]()
        marked, lanes = _marked(units, shards), copying(config.compute)
        step = StepRun.of(config, f"shard {dataset}")
        reports.append(run_step(step, shard_images, marked, lanes))
        _index(config, dataset, shards, workspace)
    for dataset, clean in config.made_datasets().items():
        planned = plan_restoration(config, clean, dataset, workspace)
        total = sum(unit.images for unit in planned)
        step, lanes = StepRun.of(config, f"restore {dataset}"), computing(config.compute)
        report = run_step(step, restore_shard, planned, lanes, total)
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
