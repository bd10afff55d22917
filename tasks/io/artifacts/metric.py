"""A metric: what its tables, the report and the command must know of it.

Titles and labels may contain names in braces, which are filled in from the fidelity table's
metadata: those of ``NAMES``, ``{second_compared_with}``, and ``{frechet_limit}``, which is
``{frechet_name}`` with the sign of infinity.
"""

from dataclasses import dataclass
from typing import Literal

Basis = Literal["image", "patches", "features"]
"""What a metric is computed from.

- ``image``: one image, with its reference or the image as it came, in `tasks/enhance/scoring.py`,
  and along the curve in `tasks/enhance/perception.py`. The metric table has its value of each
  image, the fidelity table its mean over images and the error of that mean.
- ``patches``: the latent patches of all images, in `tasks/evaluate/fidelity.py`.
- ``features``: the features of all images, in `tasks/evaluate/features/distances.py`.
"""


FEATURED = "featured"
"""The column of the fidelity table that says how many images have features of the first network."""


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
    reference: bool = True
    """With basis ``image``, whether it compares with the ground truth. One that does not is also
    of images without, and its mean is over as many as the metrics of features."""
    pooled: Literal["mean", "root mean square"] = "mean"
    """With basis ``image``, how the values of images become that of the data set."""
    is_change: bool = False
    """Whether it is itself a difference to the input, so that it has no other, and no gain."""
    change: str = ""
    """Of a metric with basis ``features``, what the metadata say of its difference to the input;
    empty if none is computed. Every other metric with basis ``image`` has one."""
    featured: str = FEATURED
    """Of a metric with basis ``features``, the column that says how many images it is of."""
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

    @property
    def units(self) -> str:
        """Its unit as it stands behind any number but one; empty where it has none."""
        return {"1": "", "level": "levels"}.get(self.unit, self.unit)

    def in_unit(self, number: str) -> str:
        """A number with its unit: "27.0 dB", "4.5 levels", "1 level"."""
        unit = self.unit if self.units and number == "1" else self.units
        return f"{number} {unit}".rstrip()


NAMES = {
    "frechet_name": "FD",
    "kernel_name": "KD",
    "cmmd_name": "CMMD",
    "mind_name": "MIND",
    "lpips_name": "LPIPS",
    "dists_name": "DISTS",
}
"""What metrics are called where the summary does not name the networks that they are by."""
