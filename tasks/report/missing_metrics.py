"""Sentences about the metrics that a reader would miss in the results, and why they miss."""

from collections.abc import Mapping, Sequence

from tasks.config import Config
from tasks.evaluate.curve import curve_metric, is_curve_measured
from tasks.io.artifacts.metric_registry import METRICS_OF_FEATURES, metrics_of
from tasks.io.networks.extractors import extractor_identity
from tasks.io.networks.perceptual import LPIPS_SHORTEST_SIDE, lpips_identity
from tasks.io.networks.weights import Weights
from tasks.io.workspace import CURVE
from tasks.report.results import Row, has_values


def gaps(config: Config, rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    """Sentences about what a reader would miss in the results table, and why it is not there.

    Args:
        config: what was asked for.
        rows: of the fidelity table.
        facts: its metadata.
    """
    shown = [row for row in rows if row["signal"] != CURVE.name]
    found = []
    if config.natural_name == config.reference_name:
        found.append(
            "The operator was fitted on images that are scored here, as corpora.natural is not "
            "given, so the numbers are optimistic."
        )
    if config.reference_name is None:
        found.append("No reference corpus is given, so there are no distortion metrics.")
    else:
        found += _distortion_gaps(config, shown, facts)
    return found + _feature_gaps(config, shown) + _curve_gaps(config, rows)


def line_in_words(rows: Sequence[Row]) -> str:
    """A sentence that the curve's figure has only the written alphas; empty where it has more."""
    if curve_metric(rows) is None or is_curve_measured(rows):
        return ""
    return "The line of the curve's figure joins the enhanced alphas, and knows no others."


def _curve_gaps(config: Config, rows: Sequence[Row]) -> list[str]:
    """A sentence if points of the curve have no perceptual distance, and how they get one."""
    curve, note = config.evaluate.curve, line_in_words(rows)
    if not note or curve is None or not config.curve_alphas:
        return []
    metric = curve_metric(rows)
    if curve.networks or (metric is not None and metric.basis == "patches"):
        return [note]
    return [f"{note} evaluate.curve.networks: true measures all points of the curve."]


def _distortion_gaps(config: Config, rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    net, found = config.evaluate.lpips, []
    if any(row["images"] == 0 for row in rows):
        found.append("Some signals have no image with metrics; the column `reason` says why.")
    if not config.evaluate.controls:
        found.append(
            "Changes of images against the input are not known, as evaluate.controls is false."
        )
    if net is None:
        return [*found, "LPIPS was not asked for (evaluate.lpips is null)."]
    if not has_values(rows, "lpips") and lpips_identity(net, Weights.of(config.weights)) is None:
        remedy = (
            "Put them into torch's hub folder (TORCH_HOME), or have `dotpipe weights pull` fetch "
            "them where there is a connection, and run `dotpipe run` again."
        )
        return [
            *found,
            f"LPIPS is missing: the weights of its network ({net}) could not be had. {remedy}",
        ]
    name = facts["lpips_name"]
    if not has_values(rows, "lpips"):
        found.append(f"LPIPS needs images of {LPIPS_SHORTEST_SIDE} pixels a side or more.")
    elif "altered" in name:
        found.append(f"LPIPS was computed with weights other than the published ones: {name}.")
    return found


def _feature_gaps(config: Config, rows: Sequence[Row]) -> list[str]:
    network = config.evaluate.features
    if network is None:
        return [f"{METRICS_OF_FEATURES} were not asked for (evaluate.features is null)."]
    if not has_values(rows, "frechet"):
        if extractor_identity(network, Weights.of(config.weights)) is None:
            return [
                f"{METRICS_OF_FEATURES} are missing: the weights of their network ({network}) "
                "could not be had. `dotpipe weights pull CONFIG DEST` fetches them on a machine "
                "with a connection; run `dotpipe run` again when they are there."
            ]
        return [
            f"{METRICS_OF_FEATURES} are missing: too few images are large enough for {network}."
        ]
    features = metrics_of("features")
    few = [m.scarce for m in features if m.scarce and not has_values(rows, m.column)]
    found = [f"There are too few images for {' and '.join(few)}."] if few else []
    if not has_values(rows, "inception_score"):
        found.append(f"There is no Inception Score: {network} has no classes, or images are few.")
    return found
