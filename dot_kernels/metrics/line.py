"""Distortion of the images x + t·r as they are written, for many numbers t.

Axes: b images, h and w image height and width, t points (numbers t), k planes.

Image interpolation gives such a line: with the restored image x and the direction r of
``Transported.direction``, the enhanced image is that of t = 1 − alpha. What is written
of it is clipped to [0, 1] and rounded to whole levels, 255 of them in 8 bits. Before that,
squared error would be a parabola in t and SSIM a mean of fractions, but clipping alone moves
PSNR by up to 2 dB on photographs. So the pixels are made anew at every point, a strip of
rows at a time, which stays in the cache of a processor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from dot_kernels.metrics.distortion import SSIM_WINDOW


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """How images are written, and what of them is looked at."""

    levels: int = 255
    """The whole number that stands for 1, to which the images are rounded."""
    reference_levels: int = 255
    """The same of the reference, which is rounded already."""
    start_levels: int = 255
    """The same of the start of the line, as it came."""
    weights: Float[Tensor, "b h w"] | None = None
    """How much each pixel counts: 0 or more, and somewhere above 0; None for all alike."""


IN_EIGHT_BITS = Written()

_SIGMA = 1.5
_LEVELS = 255.0
_MIDDLE = 128.0
_C1, _C2 = (0.01 * _LEVELS) ** 2, (0.03 * _LEVELS) ** 2
_STRIP_PIXELS = {"cpu": 1 << 15}
_STRIP_PIXELS_ELSEWHERE = 1 << 22


def mean_squared_error_along(
    start: Float[Tensor, "b 3 h w"],
    direction: Float[Tensor, "b 3 h w"],
    reference: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
    written: Written = IN_EIGHT_BITS,
) -> Float64[Tensor, "t b"]:
    """Mean squared error of start + t·direction as it is written, for each t in ``points``.

    On the [0, 1] scale, over pixels and channels. The images are clipped to [0, 1] and
    rounded to levels, as the reference is to its own, so in 8 bits the result is exact.
    """
    total = start.new_zeros(len(points), len(start), dtype=torch.float64)
    for images, rows, columns in _strips(start, overlap=0):
        x, r, y = (side[images, :, rows, columns] for side in (start, direction, reference))
        y = _in_levels(y, written.reference_levels)
        for index, t in enumerate(points):
            squared = (_written(x, r, t, written.levels) - y).square_()
            if written.weights is not None:
                squared *= written.weights[images, None, rows, columns]
            total[index, images] += squared.sum(dim=(1, 2, 3), dtype=torch.float64)
    return total / (_counted(written.weights, start) * _LEVELS**2)


def squared_change_along(
    start: Float[Tensor, "b 3 h w"],
    direction: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
    written: Written = IN_EIGHT_BITS,
) -> Float64[Tensor, "t b"]:
    """Mean squared difference of start + t·direction as it is written to the start itself.

    Without clipping and rounding it would be t² times the mean square of the direction. It is
    what ``mean_squared_error_along`` gives with the start for a reference, and needs no other.
    """
    to_itself = replace(written, reference_levels=written.start_levels)
    return mean_squared_error_along(start, direction, start, points, to_itself)


def structural_similarity_along(
    start: Float[Tensor, "b 3 h w"],
    direction: Float[Tensor, "b 3 h w"],
    reference: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
    written: Written = IN_EIGHT_BITS,
) -> Float64[Tensor, "t b"] | None:
    """SSIM of start + t·direction as it is written, for each t in ``points``.

    The number that ``structural_similarity`` gives of the images clipped to [0, 1] and
    rounded to levels, as the reference is to its own. Local moments are in float32, which
    makes an error of at most 3e-6. None where a side is shorter than the window. With weights,
    those of the pixels in the middle of windows count, and pixels of weight 0 are white in both
    images; where no window counts, it is NaN.
    """
    if min(start.shape[2:]) < SSIM_WINDOW:
        return None
    reach, weights = SSIM_WINDOW // 2, written.weights
    middle = None if weights is None else weights[:, reach:-reach, reach:-reach]
    total = start.new_zeros(len(points), len(start), dtype=torch.float64)
    for images, rows, columns in _strips(start, overlap=SSIM_WINDOW - 1):
        x, r, y = (side[images, :, rows, columns] for side in (start, direction, reference))
        if weights is not None:
            hidden = weights[images, None, rows, columns] == 0
            x, r, y = x.masked_fill(hidden, 1), r.masked_fill(hidden, 0), y.masked_fill(hidden, 1)
        y = _in_levels(y.double(), written.reference_levels)
        down, across = (slice(side.start, side.stop - 2 * reach) for side in (rows, columns))
        middles = None if middle is None else middle[images, down, across]
        total[:, images] += _sums_of_scores(x, r, y, points, written.levels, middles)
    return total / _counted(middle, start[..., reach:-reach, reach:-reach])


def _counted(
    weights: Float[Tensor, "b h w"] | None, images: Float[Tensor, "b 3 h w"]
) -> Float64[Tensor, "b"] | int:
    """How many values of each image count: pixels by their weights, times channels."""
    if weights is None:
        return max(3 * images.shape[2] * images.shape[3], 1)
    return 3 * weights.sum(dim=(1, 2), dtype=torch.float64)


def _written(
    start: Float[Tensor, "b 3 h w"], direction: Float[Tensor, "b 3 h w"], t: float, levels: int
) -> Float[Tensor, "b 3 h w"]:
    """What is written of start + t·direction, on the scale of 8 bits, 0 to 255."""
    whole = (start + t * direction).mul_(levels).round_().clamp_(0, levels)
    return whole if levels == _LEVELS else whole.mul_(_LEVELS / levels)


def _in_levels(reference: Tensor, levels: int) -> Tensor:
    """The reference on the scale of 8 bits, free of the rounding of its way to [0, 1]."""
    whole = (reference * levels).round_()
    return whole if levels == _LEVELS else whole.mul_(_LEVELS / levels)


def _strips(images: Float[Tensor, "b 3 h w"], overlap: int) -> Iterator[tuple[slice, slice, slice]]:
    """Images, rows and columns of bounded size that cover a batch.

    Neighbours have rows and columns in common, as many as ``overlap`` says.
    """
    count, _, height, width = images.shape
    most = _STRIP_PIXELS.get(images.device.type, _STRIP_PIXELS_ELSEWHERE)
    group = max(most // (height * width), 1)
    rows = max(most // (group * width), 4 * SSIM_WINDOW)
    columns = max(most // rows, 4 * SSIM_WINDOW)
    for first in range(0, count, group):
        for top in range(0, height - overlap, rows):
            down = slice(top, min(top + rows + overlap, height))
            for left in range(0, width - overlap, columns):
                across = slice(left, min(left + columns + overlap, width))
                yield slice(first, first + group), down, across


def _sums_of_scores(
    x: Float[Tensor, "b 3 h w"],
    r: Float[Tensor, "b 3 h w"],
    y: Float64[Tensor, "b 3 h w"],
    points: Sequence[float],
    levels: int,
    weights: Float[Tensor, "b h2 w2"] | None,
) -> Float64[Tensor, "t b"]:
    """SSIM (Wang et al. 2004, eq. 13) summed over channels and positions of the window.

    With the error d of the image, of local mean m and variance v, and the reference y, of
    local mean n, it is a·c / (a + m²)(c + v), where a = 2n(n + m) + C1 and
    c = 2 var(y) + 2 cov(d, y) + C2. Errors are small, so float32 is enough for their moments.

    Args:
        x: start of the line.
        r: its direction.
        y: the reference on the scale of 8 bits.
        points: numbers t.
        levels: of ``Written``.
        weights: of the pixels in the middle of windows; None for all alike.
    """
    y = y - _MIDDLE
    means, squares = _local_means(y, y * y)
    twice_variance = (squares - means.square()).mul_(2).add_(_C2).float()
    y, n = y.float(), means.float()
    light = means.add_(_MIDDLE).float()
    sums = []
    for t in points:
        d = (_written(x, r, t, levels) - _MIDDLE).float() - y
        m, dd, dy = _local_means(d, d * d, d * y)
        v = dd.addcmul_(m, m, value=-1)
        c = dy.addcmul_(m, n, value=-1).mul_(2).add_(twice_variance)
        a = (light + m).mul_(light).mul_(2).add_(_C1)
        score = (a * c).div_(a.addcmul_(m, m)).div_(v.add_(c))
        score = score if weights is None else score * weights[:, None]
        sums.append(score.sum(dim=(1, 2, 3), dtype=torch.float64))
    return torch.stack(sums)


def _local_means(*planes: Float[Tensor, "b 3 h w"]) -> Tensor:
    """Means under the Gaussian window, where it fits in wholly: (planes, b, 3, h2, w2)."""
    reach = SSIM_WINDOW // 2
    window = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * _SIGMA**2))
    weights = (window / window.sum()).tolist()
    down = _weighted(torch.stack(planes), weights, dim=-2)
    return _weighted(down, weights, dim=-1)


def _weighted(planes: Tensor, weights: Sequence[float], dim: int) -> Tensor:
    """Sums of neighbours along an axis: shifts and additions, a quarter of a convolution's time."""
    length = planes.shape[dim] - len(weights) + 1
    total = planes.narrow(dim, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        total.add_(planes.narrow(dim, shift, length), alpha=weight)
    return total
