"""Sentences about the metrics that a reader would miss in the results, and why they miss."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.config import Config
from tasks.enhance.signals import absent_weights
from tasks.evaluate.curve import curve_metric, is_curve_measured, map_axes
from tasks.evaluate.summarise import plan_summary
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import METRICS_OF_FEATURES, metrics_of
from tasks.io.artifacts.more_metrics import distance_of, plug_in_name, pyiqa_name
from tasks.io.errors import DotpipeError
from tasks.io.networks.features.extractors import FIRST, Network, extractor_identity
from tasks.io.networks.features.judges import judge_identity, judge_title
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE, lpips_identity
from tasks.io.networks.weights import Weights
from tasks.report.tables.names import Row, has_values

_PULL = (
    "`dotpipe weights pull CONFIG DEST` fetches them on a machine with a connection; run "
    "`dotpipe run` again when they are there."
)


_NO_REFERENCE = (
    "No reference corpus is given, so there are no distortion metrics. IndRMSE says how far images "
    "moved from the input, on average: `dotpipe choose CONFIG --max-change X` names the alpha that "
    "is nearest to natural images at most X levels away, `--best fd` the one whose features are."
)


_NO_MAP = (
    "There is no map of two dials (evaluate.curve.low_shares), as its points have no perceptual "
    "distance: it needs evaluate.features, evaluate.lpips or evaluate.niqe, and their weights."
)


class _Gap(NamedTuple):
    """Why something is not in the results; ``unmet`` if it was asked for and could be had."""

    sentence: str
    unmet: bool = False


def gaps(config: Config, rows: Sequence[Row]) -> list[str]:
    """Sentences about what a reader would miss in the results table, and why it is not there.

    Args:
        config: what was asked for.
        rows: of the fidelity table.
    """
    return [gap.sentence for gap in _gaps(config, rows)]


def unmet_wishes(config: Config, rows: Sequence[Row]) -> list[str]:
    """The sentences among ``gaps`` on what was asked for and is missing, with the remedy."""
    return [gap.sentence for gap in _gaps(config, rows) if gap.unmet]


def out_of_date(run: FittedRun) -> list[str]:
    """A sentence if the fidelity table is not that of a run's configuration now; else none.

    It says so too where that cannot be known, because weights are not on this machine.
    """
    try:
        is_current = plan_summary(run)[1] is None
    except DotpipeError:
        is_current = False
    if is_current:
        return []
    if absent := absent_weights(run.config):
        return [f"it cannot be known whether the fidelity table is up to date: {absent}"]
    return ["the fidelity table is not that of the configuration now; `dotpipe evaluate` renews it"]


def line_in_words(rows: Sequence[Row]) -> str:
    """A sentence that the curve's figure has only the written alphas; empty where it has more."""
    if curve_metric(rows) is None or is_curve_measured(rows):
        return ""
    return "The line of the curve's figure joins the enhanced alphas, and knows no others."


def _gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    shown = [row for row in rows if row["signal"] not in ("curve", "map")]
    if config.reference_name is None:
        found = [_Gap(_NO_REFERENCE)]
    else:
        found = _distortion_gaps(config, shown)
    found += [_judge_gap(config, name) for name in config.judges if not has_values(shown, name)]
    return found + _feature_gaps(config, shown) + _curve_gaps(config, rows)


def _judge_gap(config: Config, name: str) -> _Gap:
    """Why no image has a metric beside LPIPS that was asked for."""
    title = judge_title(name)
    if pyiqa_name(name) is not None:
        what = f"{title} is missing: pyiqa is not installed, or no image is large enough for it."
        return _Gap(what, unmet=True)
    if plug_in_name(name) is not None:
        what = f"{title} is missing: its package is not installed, or it gave no image a number."
        return _Gap(what, unmet=True)
    if judge_identity(name, Weights.of(config.weights)) is None:
        what = f"{title} is missing: the files that it is computed with could not be had. {_PULL}"
        return _Gap(what, unmet=True)
    return _Gap(f"{title} is missing: no image is large enough for it.", unmet=True)


def _curve_gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    """Sentences if points of the curve or map have no perceptual distance, and how they get one."""
    curve, note = config.evaluate.curve, line_in_words(rows)
    if curve is None or not config.curve_alphas:
        return []
    found = [_Gap(_NO_MAP, unmet=True)] if curve.low_shares and map_axes(rows) is None else []
    metric = curve_metric(rows)
    if note and (curve.networks or (metric is not None and metric.basis == "patches")):
        found.append(_Gap(note))
    elif note:
        sentence = f"{note} evaluate.curve.networks: true measures all points of the curve."
        found.append(_Gap(sentence))
    return found


def _distortion_gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    found = []
    if any(row["images"] == 0 for row in rows):
        sentence = "Some signals have no image with metrics; the column `reason` says why."
        found.append(_Gap(sentence, unmet=True))
    if not config.evaluate.controls:
        found.append(
            _Gap(
                "Changes of images against the input are not known, as evaluate.controls is false."
            )
        )
    return found + _lpips_gaps(config, rows)


def _lpips_gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    net = config.evaluate.lpips
    if net is None:
        return [_Gap("LPIPS was not asked for (evaluate.lpips is null).")]
    if has_values(rows, "lpips"):
        return []
    if lpips_identity(net, Weights.of(config.weights)) is None:
        remedy = (
            "Put them into torch's hub folder (TORCH_HOME), or have `dotpipe weights pull` fetch "
            "them where there is a connection, and run `dotpipe run` again."
        )
        what = f"LPIPS is missing: the weights of its network ({net}) could not be had."
        return [_Gap(f"{what} {remedy}", unmet=True)]
    return [_Gap(f"LPIPS needs images of {LPIPS_SHORTEST_SIDE} pixels a side or more.", unmet=True)]


def _feature_gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    network, weights = config.evaluate.network, Weights.of(config.weights)
    if network is None:
        return [_Gap(f"{METRICS_OF_FEATURES} were not asked for (evaluate.features is null).")]
    others = _more_gaps(config, rows)
    if not has_values(rows, "frechet"):
        why = _without_features(network, weights)
        return [_Gap(f"{METRICS_OF_FEATURES} are missing: {why}", unmet=True), *others]
    features = metrics_of("features")
    few = [m.scarce for m in features if m.scarce and not has_values(rows, m.column)]
    found = [_Gap(f"There are too few images for {' and '.join(few)}.")] if few else []
    if not has_values(rows, "inception_score"):
        found.append(
            _Gap(f"There is no Inception Score: {network} has no classes, or images are few.")
        )
    return found + others


def _more_gaps(config: Config, rows: Sequence[Row]) -> list[_Gap]:
    """Why there is no distance by networks of features other than the first."""
    others = [network for name, network in config.evaluate.networks.items() if name != FIRST]
    missing = [each for each in others if not has_values(rows, distance_of(each).column)]
    weights = Weights.of(config.weights)
    told = ((each, _without_features(each, weights)) for each in missing)
    return [_Gap(f"The distance by {each} is missing: {why}", unmet=True) for each, why in told]


def _without_features(network: Network, weights: Weights) -> str:
    """Why a network has given no distance."""
    if extractor_identity(network, weights) is None:
        return f"the weights of the network ({network}) could not be had. {_PULL}"
    return f"too few images are large enough for {network}."
