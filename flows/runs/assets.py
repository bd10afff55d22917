"""What a run has made, told to Prefect Cloud as assets, with what each was made from.

Assets are data sets (by their index), the operator, the enhanced images of an alpha and the
report: a few for a run, never one for a shard. They are told by Prefect's own ``materialize``, in
a task run that does nothing else. A Prefect server of one's own has no assets, and is told none.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.base import ServerType, determine_server_type
from prefect.context import FlowRunContext
from pydantic import ValidationError

from tasks.config import Run
from tasks.fit.operators import FittedRun, find_operator, fitted
from tasks.io.errors import StepMissing
from tasks.io.workspace import dataset_folder, enhanced_folder, operator_artifact
from tasks.io.workspace.signals import Signal
from tasks.jobs.policy import logger
from tasks.report.report import report_artifact

TOOL = "dot-pipeline"
"""What assets are said to be made by."""


def has_assets() -> bool:
    """Whether this is a run of a server that has assets, as Prefect Cloud is."""
    return FlowRunContext.get() is not None and determine_server_type() == ServerType.CLOUD


def tell_data_sets(run: Run, made: Mapping[str, Mapping[str, Any]]) -> None:
    """Tell that data sets have been made or have grown.

    Args:
        run: that has made them.
        made: what is known of each, by its name.
    """
    origins = run.config.made_datasets()
    for name, facts in made.items():
        origin = origins.get(name)
        _tell(run, {_index(name): f"images of {name}"}, [_index(origin)] if origin else [], facts)


def operator_before(run: Run) -> str | None:
    """The operator's name before a fit; None where there is none, or nobody to be told."""
    try:
        return find_operator(run).name if has_assets() else None
    except StepMissing:
        return None


def tell_operator(run: FittedRun, former: str | None) -> None:
    """Tell that an operator has been fitted, unless it is the one that was there.

    Args:
        run: with the operator.
        former: what ``operator_before`` has found.
    """
    config, name = run.config, run.operator.name
    if name != former:
        _tell(
            run,
            {_operator(run): f"transport operator {name}"},
            [_index(config.source_name), _index(config.natural_name)],
            {"operator": name, "configuration": config.name},
        )


def tell_enhanced(run: Run) -> None:
    """Tell that images have been enhanced at every alpha."""
    if not has_assets():
        return
    found, name = fitted(run), run.config.restored_name
    paths = {path: f"{name} at alpha {alpha:g}" for path, alpha in _enhanced(found).items()}
    _tell(run, paths, [_operator(found), _index(name)], {"operator": found.operator.name})


def tell_report(run: FittedRun) -> None:
    """Tell that a report has been written."""
    path = f"{report_artifact(run)}.html"
    _tell(run, {path: f"report of {run.config.name}"}, _enhanced(run), {})


def _index(dataset: str) -> str:
    return f"{dataset_folder(dataset)}/index.parquet"


def _operator(run: FittedRun) -> str:
    return f"{operator_artifact(run.config.restored_name, run.operator.name)}.safetensors"


def _enhanced(run: FittedRun) -> dict[str, float]:
    """The folders of enhanced images, with their alphas."""
    name, alphas = run.config.restored_name, run.config.enhance.alphas
    return {
        enhanced_folder(name, run.results, Signal("enhanced", alpha)): alpha for alpha in alphas
    }


def _tell(run: Run, made: Mapping[str, str], of: Collection[str], facts: Mapping[str, Any]) -> None:
    """Tell Prefect of assets, where it has any.

    Args:
        run: whose workspace holds them.
        made: their names for people, by path.
        of: paths of what they were made from.
        facts: what is known of each of them.
    """
    if not has_assets():
        return
    try:
        assets = [_asset(run, path, name) for path, name in made.items()]
        parents = [_asset(run, path) for path in of]
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        logger().info("assets are not told of, because Prefect takes no such name: %s", reason)
        return

    @materialize(
        *assets, by=TOOL, name="tell of assets", asset_deps=[*parents], cache_policy=NO_CACHE
    )
    def tell(keys: Iterable[str], facts: Mapping[str, Any]) -> None:
        for key in keys:
            add_asset_metadata(key, dict(facts))

    tell([asset.key for asset in assets], facts)


def _asset(run: Run, path: str, name: str | None = None) -> Asset:
    """The asset at a path of the workspace.

    Raises:
        ValidationError: Prefect takes no such key, as with a space in a folder's name.
    """
    store = run.workspace.store
    local = store.local(path)
    # Not by as_uri, which would write %2B for the plus before an alpha: Prefect takes no %.
    key = store.address(path) if local is None else f"file://{local.absolute()}"
    return Asset(key=key, properties=None if name is None else AssetProperties(name=name))
