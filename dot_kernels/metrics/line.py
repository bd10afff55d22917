"""Distortion of the images x + t·r as they are written, for many numbers t.

Axes: b images, h and w image height and width, t points (numbers t), k planes.

Image interpolation gives such a line: with the restored image x and the direction r of
``Transported.direction``, the enhanced image is that of t = 1 − alpha. What is written
of it is clipped to [0, 1] and rounded to 8 bits. Before that, squared error would be a
parabola in t and SSIM a mean of fractions, but clipping alone moves PSNR by up to 2 dB
on photographs. So the pixels are made anew at every point, a strip of rows at a time,
which stays in the cache of a processor.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from dot_kernels.metrics.distortion import SSIM_WINDOW

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
) -> Float64[Tensor, "t b"]:
    """Mean squared error of start + t·direction as it is written, for each t in ``points``.

    On the [0, 1] scale, over pixels and channels. The images are clipped to [0, 1] and
    rounded to 8 bits, in which the reference is too, so the result is exact.
    """
    total = start.new_zeros(len(points), len(start), dtype=torch.float64)
    for images, rows in _strips(start, overlap=0):
        x, r, y = (side[images, :, rows] for side in (start, direction, reference))
        y = (y * _LEVELS).round_()
        for index, t in enumerate(points):
            squared = (_written(x, r, t) - y).square_()
            total[index, images] += squared.sum(dim=(1, 2, 3), dtype=torch.float64)
    return total / (max(start[0].numel(), 1) * _LEVELS**2) if len(start) else total


def structural_similarity_along(
    start: Float[Tensor, "b 3 h w"],
    direction: Float[Tensor, "b 3 h w"],
    reference: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
) -> Float64[Tensor, "t b"] | None:
    """SSIM of start + t·direction as it is written, for each t in ``points``.

    The number that ``structural_similarity`` gives of the images clipped to [0, 1] and
    rounded to 8 bits, in which the reference is too. Local moments are in float32, which
    makes an error of at most 1e-6. None where a side is shorter than the window.
    """
    if min(start.shape[2:]) < SSIM_WINDOW:
        return None
    total = start.new_zeros(len(points), len(start), dtype=torch.float64)
    for images, rows in _strips(start, overlap=SSIM_WINDOW - 1):
        x, r, y = (side[images, :, rows] for side in (start, direction, reference))
        total[:, images] += _sums_of_scores(x, r, y, points)
    height, width = (side - SSIM_WINDOW + 1 for side in start.shape[2:])
    return total / (3 * height * width)


def _written(
    start: Float[Tensor, "b 3 h w"], direction: Float[Tensor, "b 3 h w"], t: float
) -> Float[Tensor, "b 3 h w"]:
    """The 8-bit levels 0 to 255 of start + t·direction."""
    return (start + t * direction).mul_(_LEVELS).round_().clamp_(0, _LEVELS)


def _strips(images: Float[Tensor, "b 3 h w"], overlap: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of bounded size that cover a batch, each strip's last rows shared."""
    count, _, height, width = images.shape
    most = _STRIP_PIXELS.get(images.device.type, _STRIP_PIXELS_ELSEWHERE)
    group = max(most // (height * width), 1)
    rows = max(most // (group * width), 4 * SSIM_WINDOW)
    for first in range(0, count, group):
        for top in range(0, height - overlap, rows):
            yield slice(first, first + group), slice(top, min(top + rows + overlap, height))


def _sums_of_scores(
    x: Float[Tensor, "b 3 h w"],
    r: Float[Tensor, "b 3 h w"],
    y: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
) -> Float64[Tensor, "t b"]:
    """SSIM (Wang et al. 2004, eq. 13) summed over channels and positions of the window.

    With the error d of the image, of local mean m and variance v, and the reference y, of
    local mean n, it is a·c / (a + m²)(c + v), where a = 2n(n + m) + C1 and
    c = 2 var(y) + 2 cov(d, y) + C2. Errors are small, so float32 is enough for their moments.
    """
    y = (y.double() * _LEVELS).round_().sub_(_MIDDLE)
    means, squares = _local_means(y, y * y)
    twice_variance = (squares - means.square()).mul_(2).add_(_C2).float()
    y, n = y.float(), means.float()
    light = means.add_(_MIDDLE).float()
    sums = []
    for t in points:
        d = (_written(x, r, t) - _MIDDLE).float() - y
        m, dd, dy = _local_means(d, d * d, d * y)
        v = dd.addcmul_(m, m, value=-1)
        c = dy.addcmul_(m, n, value=-1).mul_(2).add_(twice_variance)
        a = (light + m).mul_(light).mul_(2).add_(_C1)
        score = (a * c).div_(a.addcmul_(m, m)).div_(v.add_(c))
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
