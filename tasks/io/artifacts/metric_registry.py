"""The registry of metrics: one value for each, from which all that others know of it follows.

The columns of the metric table and of the fidelity table, the results table with its arrows,
digits and errors, the best and worst images, the axis of the curve's figure, and the options of
`dotpipe choose` are read from here. A metric is added by its entry here and by the code that
computes it.

Titles and labels may contain names in braces, which are filled in from the fidelity table's
metadata: ``{lpips_name}``, ``{frechet_name}``, ``{kernel_name}``, and ``{frechet_limit}``, which
is ``{frechet_name}`` with the sign of infinity.
"""

from dataclasses import dataclass
from typing import Literal

Basis = Literal["image", "patches", "features"]
"""What a metric is computed from.

- ``image``: one image and its reference, in `tasks/enhance/scoring.py`, and along the curve in
  `tasks/enhance/perception.py`. The metric table has its value of each image, the fidelity table
  its mean over images and the error of that mean.
- ``patches``: the latent patches of all images, in `tasks/evaluate/fidelity.py`.
- ``features``: the features of all images, in `tasks/evaluate/feature_distances.py`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """The column that says how far a metric's value may be off, in the metric's unit."""

    column: str
    meaning: str = "bootstrap standard error of the mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How the curve's figure names a metric on its vertical axis.

    The figure shows the metric of the lowest rank that was measured.
    """

    rank: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that says how good images are, and everything that its users must know of it."""

    column: str
    """Its column in the fidelity table; with basis ``image``, in the metric table too."""
    basis: Basis
    better: Literal["more", "less"] | None
    """Which values are better; None for a number that is neither good nor bad."""
    meaning: str
    """What the column's metadata say; with basis ``image``, those of the metric table."""
    mean: str = "mean over images"
    """With basis ``image``, what the metadata of the fidelity table say."""
    unit: str = "1"
    """Its unit; 1 where it has none."""
    error: Error | None = None
    """None if no error of it is computed; a metric with basis ``image`` must have one."""
    version: int = 0
    """An input of the fingerprint of the tables that have the metric, unless it is 0.

    A metric that is added has version 1, so that tables without it are made again.
    """
    title: str = ""
    """What the results table calls it; empty if it is not shown there."""
    digits: int | None = None
    """Digits after the point where it is shown; None for four significant ones.

    A metric with basis ``image`` that is shown must say how many.
    """
    axis: Axis | None = None
    """How the curve's figure shows it; None for a metric that is no perceptual distance."""
    option: str = ""
    """What the options of `dotpipe choose` call it; empty if alpha cannot be chosen by it.

    Metrics with this name are shown where the results table has no room for all columns.
    """
    bound: str = ""
    """The help of the option that bounds it; empty if there is no such option."""
    scarce: str = ""
    """What the report calls it where there are too few images for it; empty to say nothing."""


METRICS = (
    Metric(
        column="mse",
        basis="image",
        better="less",
        meaning="mean squared error, pixels in [0, 1]",
        error=Error(column="mse_error"),
    ),
    Metric(
        column="psnr",
        basis="image",
        better="more",
        meaning="peak signal-to-noise ratio, peak 1",
        mean="mean over images with a finite one",
        unit="dB",
        error=Error(column="psnr_error"),
        title="PSNR",
        digits=2,
        option="psnr",
        bound="At least so many dB.",
    ),
    Metric(
        column="ssim",
        basis="image",
        better="more",
        meaning="structural similarity; null below 11 pixels a side",
        error=Error(column="ssim_error"),
        title="SSIM",
        digits=4,
        option="ssim",
        bound="At least so much.",
    ),
    Metric(
        column="lpips",
        basis="image",
        better="less",
        meaning="network in the file's metadata; null below 32 pixels a side",
        error=Error(column="lpips_error"),
        title="{lpips_name}",
        digits=4,
        axis=Axis(rank=2, label="{lpips_name}"),
        option="lpips",
        bound="At most so much.",
    ),
    Metric(
        column="frechet",
        basis="features",
        better="less",
        meaning="Fréchet distance of features; FID with Inception",
        error=Error(column="frechet_error", meaning="its standard error, from groups of images"),
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
        title="Gelbrich",
        axis=Axis(rank=3, label="Gelbrich distance of latent patches"),
        option="gelbrich",
    ),
)
"""All metrics, in the order in which they are shown."""

METRICS_OF_FEATURES = (
    "The metrics of features (Fréchet and kernel distance, Inception Score, precision, recall)"
)
"""What the report calls those with basis ``features`` where none of them is there."""


def metrics_of(*bases: Basis) -> tuple[Metric, ...]:
    """The metrics that are computed from any of these, in the order of ``METRICS``."""
    return tuple(metric for metric in METRICS if metric.basis in bases)


def shown_metrics() -> tuple[Metric, ...]:
    """The metrics of the results table, in the order of its columns."""
    return tuple(metric for metric in METRICS if metric.title)


def ranked_metrics() -> tuple[Metric, ...]:
    """The metrics that the report names the best and the worst images by."""
    return tuple(metric for metric in shown_metrics() if metric.basis == "image")


def metrics_to_choose_by() -> dict[str, Metric]:
    """The metrics that `dotpipe choose` knows, by what its options call them."""
    return {metric.option: metric for metric in METRICS if metric.option}


def perceptual_distances() -> tuple[Metric, ...]:
    """The metrics that the curve can be drawn against, the preferred one first."""
    ranked = [(metric.axis.rank, metric) for metric in METRICS if metric.axis is not None]
    return tuple(metric for _, metric in sorted(ranked, key=lambda pair: pair[0]))


def versions_of(*bases: Basis) -> dict[str, dict[str, int]]:
    """The versions of metrics as an input of a fingerprint; empty while all of them are 0."""
    versions = {metric.column: metric.version for metric in metrics_of(*bases) if metric.version}
    return {"metrics": versions} if versions else {}
