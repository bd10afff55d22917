"""The registry of metrics: one value for each, from which all that others know of it follows.

The columns of the metric table and of the fidelity table, the results table with its arrows,
digits and errors, the best and worst images, the axis of the curve's figure, and the options of
`dotpipe choose` are read from here. A metric is added by its entry here and by the code that
computes it. Functions that take facts, the metadata of a fidelity table, know the metrics as well
that only this table has.
"""

from dataclasses import replace

from tasks.io.artifacts.image_metrics import METRICS_OF_IMAGES
from tasks.io.artifacts.metric import NAMES, Axis, Basis, Error, Metric
from tasks.io.artifacts.more_metrics import NO_FACTS, Facts, more_metrics

__all__ = [
    "METRICS",
    "METRICS_OF_FEATURES",
    "SECOND",
    "Axis",
    "Basis",
    "Error",
    "Metric",
    "curve_names",
    "metrics_of",
    "metrics_to_choose_by",
    "perceptual_distances",
    "ranked_metrics",
    "shown_metrics",
    "versions_of",
]

SECOND = "_second"
"""How the columns of a metric of features end that compare with a second data set."""

_METRICS = (
    *METRICS_OF_IMAGES,
    Metric(
        column="frechet",
        basis="features",
        better="less",
        meaning="Fréchet distance of features; FID with Inception",
        error=Error(column="frechet_error", meaning="its standard error, from single images"),
        change="less that of the input, which the same images have in common",
        title="{frechet_name}",
        axis=Axis(rank=1, label="{frechet_name}"),
        option="fid",
        bound="At most so much FID, or FD of the network in use.",
    ),
    Metric(
        column="frechet_extrapolated",
        basis="features",
        better="less",
        meaning="extrapolated to infinitely many images",
        title="{frechet_limit}",
        scarce="the extrapolated Fréchet distance",
    ),
    Metric(
        column="kernel",
        basis="features",
        better="less",
        meaning="squared MMD of features; KID with Inception",
        error=Error(column="kernel_spread", meaning="its standard deviation over subsets"),
        title="{kernel_name}",
        option="kid",
        scarce="the kernel distance",
    ),
    Metric(
        column="kernel_corrected",
        basis="features",
        better="less",
        meaning="without images against their own reference",
        title="{kernel_name} corrected",
    ),
    Metric(
        column="cmmd",
        basis="features",
        better="less",
        meaning="1000 times the squared MMD under a Gaussian kernel of width 10; CLIP only",
        version=1,
        title="{cmmd_name}",
    ),
    Metric(
        column="mind",
        basis="features",
        better="less",
        meaning="sliced Wasserstein distance of features; MIND with Inception",
        version=1,
        title="{mind_name}",
    ),
    Metric(
        column="inception_score",
        basis="features",
        better="more",
        meaning="mean over ten splits",
        error=Error(column="inception_score_spread", meaning="its deviation over the splits"),
        title="IS",
        digits=2,
    ),
    Metric(
        column="precision",
        basis="features",
        better="more",
        meaning="share of images that a reference, not their own, has within its radius",
        error=Error(column="precision_error", meaning="its standard error, from halves of images"),
        title="precision",
        digits=3,
        scarce="precision and recall",
    ),
    Metric(
        column="recall",
        basis="features",
        better="more",
        meaning="share of references that an image, not their own, has within its radius",
        error=Error(column="recall_error", meaning="its standard error, from halves of images"),
        title="recall",
        digits=3,
    ),
    Metric(
        column="gelbrich",
        basis="patches",
        better="less",
        meaning="squared W2 of latent patches to the natural ones",
        error=Error(column="gelbrich_error", meaning="its standard error, from groups of images"),
        title="Gelbrich",
        axis=Axis(rank=4, label="Gelbrich distance of latent patches"),
        option="gelbrich",
    ),
    Metric(
        column="variance_reached_median",
        basis="patches",
        better="more",
        meaning="share of the natural variance that latent patches have, in the median direction",
    ),
    Metric(
        column="variance_reached_least",
        basis="patches",
        better="more",
        meaning="the same share in the direction in which it is smallest",
    ),
)


def _to_second(metric: Metric) -> Metric:
    """The same metric in comparison with the second data set of ``evaluate.against``."""
    error = metric.error
    return replace(
        metric,
        column=metric.column + SECOND,
        title=f"{metric.title} to {{second_compared_with}}",
        meaning=f"{metric.meaning}; of the second data set compared with",
        error=None if error is None else replace(error, column=error.column + SECOND),
        axis=None,
        option="",
        bound="",
        scarce="",
    )


METRICS = (
    *_METRICS,
    *(
        _to_second(metric)
        for metric in _METRICS
        if metric.basis == "features" and metric.column != "inception_score"
    ),
)
"""All metrics, in the order in which they are shown."""

METRICS_OF_FEATURES = (
    "The metrics of features (Fréchet and kernel distance, Inception Score, precision, recall)"
)
"""What the report calls those with basis ``features`` where none of them is there."""


def metrics_of(*bases: Basis, facts: Facts = NO_FACTS) -> tuple[Metric, ...]:
    """The metrics that are computed from any of these, in the order of ``METRICS``."""
    return tuple(metric for metric in _known(facts) if metric.basis in bases)


def shown_metrics(facts: Facts = NO_FACTS) -> tuple[Metric, ...]:
    """The metrics of the results table, in the order of its columns."""
    return tuple(metric for metric in _known(facts) if metric.title)


def ranked_metrics(facts: Facts = NO_FACTS) -> tuple[Metric, ...]:
    """The metrics that the report names the best and the worst images by."""
    shown = shown_metrics(facts)
    return tuple(m for m in shown if m.basis == "image" and not m.is_change)


def metrics_to_choose_by(facts: Facts = NO_FACTS) -> dict[str, Metric]:
    """The metrics that `dotpipe choose` knows, by what its options call them."""
    return {metric.option: metric for metric in _known(facts) if metric.option}


def _known(facts: Facts) -> tuple[Metric, ...]:
    """All metrics; those of one table alone stand beside the registry's of their kind."""
    if not (more := more_metrics(facts)):
        return METRICS
    images = [metric for metric in more if metric.basis == "image"]
    distances = [metric for metric in more if metric.basis == "features"]
    known = list[Metric]()
    for metric in METRICS:
        known += [metric, *(distances if metric.column == "frechet" else ())]
    seconds = map(_to_second, distances if "second_dataset" in facts else ())
    place = max(i for i, metric in enumerate(known) if metric in METRICS_OF_IMAGES) + 1
    return (*known[:place], *images, *known[place:], *seconds)


def perceptual_distances() -> tuple[Metric, ...]:
    """The metrics that the curve can be drawn against, the preferred one first."""
    ranked = [(metric.axis.rank, metric) for metric in METRICS if metric.axis is not None]
    return tuple(metric for _, metric in sorted(ranked, key=lambda pair: pair[0]))


def versions_of(*bases: Basis) -> dict[str, dict[str, int]]:
    """The versions of metrics as an input of a fingerprint; empty while all of them are 0."""
    versions = {metric.column: metric.version for metric in metrics_of(*bases) if metric.version}
    return {"metrics": versions} if versions else {}


def curve_names(facts: Facts) -> dict[str, str]:
    """What the curve's figure calls the distances that it can show, by their columns."""
    return {
        metric.column: metric.axis.label.format_map({**NAMES, **facts})
        for metric in perceptual_distances()
        if metric.axis is not None
    }
