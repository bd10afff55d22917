"""Which signals a configuration scores, and by which networks they are or were scored."""

from collections.abc import Callable
from functools import partial

from tasks.config import Config
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metrics import networks_of
from tasks.io.errors import WeightsMissing
from tasks.io.networks.features.extractors import extractor_identity, fetch_extractor
from tasks.io.networks.features.judges import (
    fetch_judge,
    judge_files,
    judge_identity,
    judge_title,
)
from tasks.io.networks.features.perceptual import fetch_lpips, lpips_identity
from tasks.io.networks.features.pyiqa_metrics import require_pyiqa
from tasks.io.networks.plug_ins.metric import require_metrics
from tasks.io.networks.weights import Weights, hub_folder
from tasks.io.workspace import CONTROLS, CURVE, Signal, map_of, metrics_folder
from tasks.jobs.policy import logger


def signals_to_score(config: Config) -> tuple[Signal, ...]:
    """Return the signals that have a metric table: every alpha, the controls, curve and map."""
    alphas = tuple(Signal("enhanced", alpha) for alpha in config.enhance.alphas)
    controls = CONTROLS if config.evaluate.controls else ()
    curve = config.evaluate.curve if config.curve_alphas else None
    curves = () if curve is None else (CURVE, *map_of(curve.low_shares))
    return (*alphas, *controls, *curves)


def input_is_alpha_1(config: Config) -> bool:
    """Return whether the image at alpha 1 is the input, pixel for pixel."""
    options = config.enhance
    return options.interpolation == "image" or options.decoding == "residual"


def networks_in_use(run: FittedRun) -> dict[str, str]:
    """Return the names of the networks, by metric, that this operator's tables were made with.

    They are those of the first table; there are none where no table is finished.
    """
    folder = metrics_folder(run.config.restored_name, run.results)
    survey = run.workspace.ledger.survey(folder)
    first = next(iter(survey.artifacts()), None)
    return {} if first is None else networks_of(run.workspace.store, f"{first}.parquet")


def absent_weights(config: Config) -> str:
    """Return a sentence on weights of metrics that are not on this machine; empty if all are."""
    lpips, weights = config.evaluate.lpips, Weights.of(config.weights)
    absent = list[str]()
    if lpips is not None and config.reference_name is not None:
        absent += [] if lpips_identity(lpips, weights) else [f"LPIPS ({lpips})"]
    networks = config.evaluate.networks.values()
    absent += [each for each in networks if not extractor_identity(each, weights)]
    judges = (name for name in config.judges if judge_files(name))
    absent += [judge_title(name) for name in judges if not judge_identity(name, weights)]
    if not absent:
        return ""
    return (
        f"the weights of {' and '.join(absent)} must be on this machine, but are not in "
        f"{hub_folder()}; set TORCH_HOME as it was when the configuration ran, or do this where "
        "it runs"
    )


def fetch_metric_weights(run: FittedRun) -> None:
    """Fetch the networks of the metrics; one that cannot be had is logged, and its metric left out.

    Raises:
        WeightsMissing: a network cannot be had, though finished tables have its metric, which
            would be lost if they were written again.
        ConfigurationError: metrics of pyiqa or of plug-ins cannot be computed.
    """
    has_reference = run.config.reference_name is not None
    require_pyiqa(run.config.evaluate.pyiqa, has_reference=has_reference)
    require_metrics(run.config.evaluate.plug_ins, has_reference=has_reference)
    wanted: dict[str, Callable[[], object]] = {}
    lpips, networks = run.config.evaluate.lpips, run.config.evaluate.networks
    if lpips is not None and run.config.reference_name is not None:
        wanted["lpips"] = partial(fetch_lpips, lpips, run.weights)
    for name, network in networks.items():
        wanted[name] = partial(fetch_extractor, network, run.weights)
    wanted |= {name: partial(fetch_judge, name, run.weights) for name in run.config.judges}
    for metric, fetch in wanted.items():
        try:
            fetch()
        except WeightsMissing as error:
            if metric in networks_in_use(run):
                raise
            logger().info("no %s: %s", metric, error)
