"""What a configuration scores: alphas, controls, the curve; and by which networks it was."""

from collections.abc import Sequence

from tasks.config import Config
from tasks.fit.reduce import OperatorRef
from tasks.io.artifacts.metrics import networks_of
from tasks.io.workspace import CONTROLS, CURVE, Signal, Workspace, metrics_folder


def signals_to_score(config: Config) -> tuple[Signal, ...]:
    """What has a metric table: the images of every alpha, the controls, and the curve."""
    alphas = tuple(Signal("enhanced", alpha) for alpha in config.enhance.alphas)
    controls = CONTROLS if config.evaluate.controls else ()
    return (*alphas, *controls, *((CURVE,) if config.curve_alphas else ()))


def points_of(signal: Signal, alphas: Sequence[float]) -> tuple[Signal, ...]:
    """The points of the curve; any other signal is its own only one."""
    return tuple(Signal("curve", alpha) for alpha in alphas) if signal == CURVE else (signal,)


def networks_in_use(config: Config, operator: OperatorRef, workspace: Workspace) -> dict[str, str]:
    """The networks that the metric tables of this operator were computed with."""
    folder = metrics_folder(config.restored_name, operator.name)
    survey = workspace.ledger.survey(folder)
    first = next(iter(survey.artifacts()), None)
    return {} if first is None else networks_of(workspace.store, f"{first}.parquet")
