"""What a configuration scores: alphas, controls, the curve; and by which networks it was."""

from collections.abc import Callable
from functools import partial

from tasks.config import Config
from tasks.fit.operators import OperatorRef
from tasks.io.artifacts.metrics import networks_of
from tasks.io.errors import WeightsMissing
from tasks.io.networks.extractors import fetch_extractor
from tasks.io.networks.perceptual import fetch_lpips
from tasks.io.workspace import CONTROLS, CURVE, Signal, Workspace, metrics_folder
from tasks.jobs.policy import logger


def signals_to_score(config: Config) -> tuple[Signal, ...]:
    """What has a metric table: the images of every alpha, the controls, and the curve."""
    alphas = tuple(Signal("enhanced", alpha) for alpha in config.enhance.alphas)
    controls = CONTROLS if config.evaluate.controls else ()
    return (*alphas, *controls, *((CURVE,) if config.curve_alphas else ()))


def networks_in_use(config: Config, operator: OperatorRef, workspace: Workspace) -> dict[str, str]:
    """The networks that the metric tables of this operator were computed with."""
    folder = metrics_folder(config.restored_name, operator.name)
    survey = workspace.ledger.survey(folder)
    first = next(iter(survey.artifacts()), None)
    return {} if first is None else networks_of(workspace.store, f"{first}.parquet")


def fetch_metric_weights(config: Config, operator: OperatorRef, workspace: Workspace) -> None:
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
            logger().info("no %s: %s", metric, error)
