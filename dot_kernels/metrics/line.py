"""Distortion of the images x + t·r for many numbers t, at the cost of about one.

Axes: b images, h and w image height and width, t points (numbers t), k planes, p
positions of the SSIM window times channels.

Image interpolation gives such a line: with the restored image x and the direction r of
``Transported.direction``, the enhanced image is that of t = 1 − alpha, before it is
clipped to [0, 1]. Squared error is quadratic in t, and so are the local statistics that
SSIM is made of; their coefficients are computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from dot_kernels.metrics.distortion import SSIM_WINDOW

_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_STRIP_PIXELS = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class ErrorSums:
    """What squared errors along a line are made of, as means over pixels and channels.

    x is the start of the line, r its direction, and e = x − reference.
    """

    error: Float64[Tensor, "b"]
    """⟨e²⟩."""
    cross: Float64[Tensor, "b"]
    """⟨e·r⟩."""
    change: Float64[Tensor, "b"]
    """⟨r²⟩."""

    @classmethod
    def of(
        cls,
        start: Float[Tensor, "b 3 h w"],
        direction: Float[Tensor, "b 3 h w"],
        reference: Float[Tensor, "b 3 h w"],
    ) -> "ErrorSums":
        """The means for lines start + t·direction, accumulated in float64."""
        error, change = (start - reference).double().flatten(1), direction.double().flatten(1)
        return cls(
            error.square().mean(dim=1), (error * change).mean(dim=1), change.square().mean(dim=1)
        )

    def mean_squared_error(self, points: Sequence[float]) -> Float64[Tensor, "t b"]:
        """The mean squared error ⟨e²⟩ + 2t⟨e·r⟩ + t²⟨r²⟩ of x + t·r for each t in ``points``.

        On the [0, 1] scale; a result that rounding made negative is set to zero.
        """
        t = torch.tensor(points, dtype=torch.float64, device=self.error.device)[:, None]
        return (self.error + 2 * t * self.cross + t.square() * self.change).clamp(min=0)


def structural_similarity_along(
    start: Float[Tensor, "b 3 h w"],
    direction: Float[Tensor, "b 3 h w"],
    reference: Float[Tensor, "b 3 h w"],
    points: Sequence[float],
) -> Float64[Tensor, "t b"] | None:
    """SSIM of start + t·direction against the reference, for each t in ``points``.

    The same number as by ``structural_similarity``: at each position of the Gaussian
    window, SSIM (Wang et al. 2004, eq. 13) is a polynomial of degree 2 in t over one of
    degree 4, whose coefficients are local means, variances and covariances of the start
    x, the direction r and the reference y. None where a side is shorter than the window.
    """
    if min(start.shape[2:]) < SSIM_WINDOW:
        return None
    t = torch.tensor(points, dtype=torch.float64, device=start.device)
    powers = t[:, None] ** torch.arange(5, dtype=torch.float64, device=start.device)  # (t, 5)
    scores = [
        _similarity(x, r, y, powers) for x, r, y in zip(start, direction, reference, strict=True)
    ]
    return torch.stack(scores, dim=1) if scores else t.new_zeros(len(t), 0)


def _similarity(
    x: Float[Tensor, "3 h w"],
    r: Float[Tensor, "3 h w"],
    y: Float[Tensor, "3 h w"],
    powers: Float64[Tensor, "t 5"],
) -> Float64[Tensor, "t"]:
    """SSIM of one image at each t, summed over strips of bounded memory."""
    height, width = x.shape[1:]
    windows = height - SSIM_WINDOW + 1
    rows = max(_STRIP_PIXELS // width, 2 * SSIM_WINDOW)
    total = powers.new_zeros(len(powers))
    for top in range(0, windows, rows):
        strip = slice(top, min(top + rows, windows) + SSIM_WINDOW - 1)
        parts = [image[:, strip].double() for image in (x, r, y)]
        total = total + _sum_of_scores(parts[0], parts[1], parts[2], powers)
    return total / (3 * windows * (width - SSIM_WINDOW + 1))


def _sum_of_scores(
    x: Float64[Tensor, "3 h w"],
    r: Float64[Tensor, "3 h w"],
    y: Float64[Tensor, "3 h w"],
    powers: Float64[Tensor, "t 5"],
) -> Float64[Tensor, "t"]:
    """SSIM at each t, summed over channels and over the positions of the window."""
    blurred = _blur(torch.cat([x, r, y, x * x, x * r, r * r, y * y, x * y, r * y]))
    mx, mr, my, xx, xr, rr, yy, xy, ry = blurred.reshape(9, -1)  # each (p,)
    luminance = [2 * my * mx + _C1, 2 * my * mr]
    structure = [2 * (xy - mx * my) + _C2, 2 * (ry - mr * my)]
    means = [mx * mx + my * my + _C1, 2 * mx * mr, mr * mr]
    spreads = [xx - mx * mx + yy - my * my + _C2, 2 * (xr - mx * mr), rr - mr * mr]
    above = torch.stack(_product(luminance, structure))  # (3, p)
    below = torch.stack(_product(means, spreads))  # (5, p)
    return ((powers[:, :3] @ above) / (powers @ below)).sum(dim=1)


def _product(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """Coefficients of the product of two polynomials; all lists have the lowest power first."""
    answer = [torch.zeros_like(a[0]) for _ in range(len(a) + len(b) - 1)]
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            answer[i + j] = answer[i + j] + left * right
    return answer


def _blur(planes: Float64[Tensor, "k h w"]) -> Float64[Tensor, "k h2 w2"]:
    """Weighted means of each plane under the Gaussian window, where it fits in wholly."""
    reach = SSIM_WINDOW // 2
    offsets = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window = (window / window.sum()).expand(len(planes), 1, SSIM_WINDOW)
    down = functional.conv2d(planes[None], window[..., None], groups=len(planes))
    return functional.conv2d(down, window[:, :, None], groups=len(planes))[0]
