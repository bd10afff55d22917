"""From restored shards and an operator to enhanced shards, one set per alpha."""

from collections.abc import Callable, Collection
from functools import partial

from prefect import flow
from prefect.logging import get_run_logger

from flows.runners.lanes import computing
from flows.runs.presence import at_work
from flows.steps.reports import Report, Step, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.enhance.enhance import enhance_shard
from tasks.enhance.match import match_reference, plan_matches, require_matches
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import networks_in_use
from tasks.fit.reduce import OperatorRef, find_operator
from tasks.io.errors import WeightsMissing
from tasks.io.networks.extractors import fetch_extractor
from tasks.io.networks.perceptual import fetch_lpips
from tasks.io.workspace import Workspace


@flow(name="enhance-dataset", flow_run_name="enhance {config.name}")
@at_work
def enhance_dataset(config: Config) -> list[Report]:
    """Enhance every shard at every alpha, and score it in the same pass."""
    reports = [pass_over_shards(config, "enhance", tars=True)]
    leave_table(reports, "enhanced-data-sets")
    return reports


def pass_over_shards(config: Config, step: str, *, tars: bool) -> Report:
    """One pass of the network over the shards that miss something."""
    workspace = Workspace(config.workspace)
    operator = find_operator(config, workspace)
    match_shards(config, workspace)
    return enhance_shards(config, operator, step, tars=tars)


def match_shards(config: Config, workspace: Workspace) -> None:
    """Have the ground truth of every shard at hand.

    Raises:
        CorpusError: the reference shares no key with the images to enhance.
    """
    job = plan_matches(config, workspace)
    if job is not None:
        match_reference(job)
    require_matches(config, workspace)


def enhance_shards(
    config: Config,
    operator: OperatorRef,
    step: str,
    *,
    tars: bool,
    shards: Collection[str] | None = None,
) -> Report:
    """The pass over all shards, or over those that are named."""
    workspace = Workspace(config.workspace)
    _fetch_metric_weights(config, operator, workspace)
    planned = list(plan_enhancement(config, operator, workspace, tars=tars, shards=shards))
    return run_step(
        Step.of(config, f"{step} {config.restored_name}"),
        enhance_shard,
        planned,
        computing(config.compute),
        total=sum(unit.images for unit in planned),
    )


def _fetch_metric_weights(config: Config, operator: OperatorRef, workspace: Workspace) -> None:
    """Have the metrics' networks at hand, or go on without; the report shows the gap.

    Raises:
        WeightsMissing: tables with the metric are there, and would be written again without.
    """
    wanted: dict[str, Callable[[], object]] = {}
    lpips, features = config.evaluate.lpips, config.evaluate.features
    if lpips is not None and config.reference_name is not None:
        wanted["lpips"] = partial(fetch_lpips, lpips, config.weights)
    if features is not None:
        wanted["features"] = partial(fetch_extractor, features, config.weights)
    for metric, fetch in wanted.items():
        try:
            fetch()
        except WeightsMissing as error:
            if metric in networks_in_use(config, operator, workspace):
                raise
            get_run_logger().info("no %s: %s", metric, error)
