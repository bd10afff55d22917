"""Distortions of a batch at the points of all curves: that of the configuration, and the map's.

Axes: b images, h and w their height and width.
"""

from torch import Tensor

from dot_kernels.metrics import Written
from tasks.enhance.curves.dials import TwoDials
from tasks.enhance.curves.points import Curves
from tasks.enhance.perception import distortions_along
from tasks.io.workspace import Signal


def distortions_on(
    curves: Curves, dials: TwoDials, references: Tensor | None, written: Written
) -> list[dict[Signal, dict[str, float | None]]] | None:
    """Return for each image its metrics at every point, as ``distortions_along`` does.

    Args:
        curves: whose points are measured.
        dials: the batch.
        references: ground truth (b, 3, h, w), without which there are those that need none.
        written: to which levels images are rounded, and how much their pixels count.

    Returns:
        None where no curve is wanted.
    """
    found = None
    for line in curves.lines:
        ours = distortions_along(dials.of(line), references, curves.points(line), written)
        found = ours if found is None else [a | b for a, b in zip(found, ours, strict=True)]
    return found
