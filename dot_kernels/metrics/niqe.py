"""NIQE: how far the statistics of an image are from those of pristine photographs.

Mittal, Soundararajan and Bovik 2013, in the arithmetic of its authors' MATLAB code as BasicSR has
it. Lower is better, and no reference is needed. Axes: b images, h and w height and width, n blocks
of 96 × 96 pixels, y and x places within one, r and c rows and columns of blocks.

The luminance is made locally flat, v = (l − mean) / (deviation + 1) under a Gaussian window, at
full and at half size. Each block gives 18 numbers at each size: parameters of asymmetric
generalised Gaussians (eq. 3 there) fitted to v and to products of neighbours. Their mean and
covariance over the blocks are compared with a model of pristine images (eq. 10).

An image is read in bands of blocks, so that memory grows with its width only; bands overlap where
windows reach across, so the numbers are those of the whole image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64, Num
from torch import Tensor

NIQE_BLOCK = 96
"""Height and width of a block, in pixels; what is left at the right and below does not count."""

FEWEST_BLOCKS = 2
"""Blocks with a covariance, below which NIQE is not defined."""

_LUMINANCE = (65.481, 128.553, 24.966)
_OFFSET = 16.0
_REACH, _SIGMA = 3, 7 / 6
_TAPS = tuple(range(-3, 5))
"""What a pixel at half size is made of, counted from twice its place."""
_AT_ONCE = 16
"""Blocks of a row that are in memory together."""

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, slots=True, eq=False)
class PristineModel:
    """Mean and covariance of the 36 features of blocks of pristine photographs."""

    mean: Float64[Tensor, "36"]
    covariance: Float64[Tensor, "36 36"]


def natural_image_quality(
    features: Float64[Tensor, "n 36"], model: PristineModel, counted: Bool[Tensor, "n"] | None
) -> float | None:
    """NIQE of an image from the features of its blocks (eq. 10 there); about 2 to 10, lower better.

    Args:
        features: of ``block_features``.
        model: of pristine photographs.
        counted: which blocks count; None for all. Blocks without texture have none of some
            features, and count in the means of the others only.

    Returns:
        None where fewer than two blocks have all features.
    """
    blocks = features if counted is None else features[counted]
    whole = blocks[blocks.isfinite().all(dim=1)]
    if len(whole) < FEWEST_BLOCKS:
        return None
    apart = model.mean - blocks.nanmean(dim=0)
    inverse = torch.linalg.pinv((model.covariance + whole.T.cov()) / 2, rtol=1e-15)
    return sqrt(float(apart @ inverse @ apart))


def block_features(
    read: Callable[[range, range], Float[Tensor, "b 3 y x"]], height: int, width: int
) -> Float64[Tensor, "b n 36"]:
    """Features of the blocks of images, row by row.

    Args:
        read: gives rows and columns of images that are in [0, 1]; they count as they are in 8 bits.
        height: of the images, in pixels.
        width: of the images.
    """
    rows, columns = height // NIQE_BLOCK, width // NIQE_BLOCK
    parts = [
        _features_of(read, _lines(range(row, row + 1), rows), _lines(some, columns))
        for row in range(rows)
        for some in (range(i, min(i + _AT_ONCE, columns)) for i in range(0, columns, _AT_ONCE))
    ]
    none = torch.zeros(read(range(0), range(0)).shape[0], 0, 36, dtype=torch.float64)
    return torch.cat(parts, dim=1) if parts else none


def blocks_shown(opacity: Num[Tensor, "b h w"]) -> Bool[Tensor, "b n"]:
    """Which blocks of images show anything: those with a pixel whose opacity is not 0."""
    b, height, width = opacity.shape
    rows, columns = height // NIQE_BLOCK, width // NIQE_BLOCK
    whole = opacity[:, : rows * NIQE_BLOCK, : columns * NIQE_BLOCK] > 0
    blocks = whole.reshape(b, rows, NIQE_BLOCK, columns, NIQE_BLOCK)
    return blocks.any(dim=4).any(dim=2).flatten(1)


class _Lines(NamedTuple):
    """Which rows, or columns, of an image some blocks need, counted from the first of them."""

    read: range
    """All of them, in the image."""
    full: Int64[Tensor, "y"]
    """Those of the blocks and what windows reach beside them."""
    taps: Int64[Tensor, "8 y2"]
    """Those that the same at half size is made of."""


def _lines(blocks: range, total: int) -> _Lines:
    """The rows, or columns, that some blocks of so many in all need."""
    length, half = total * NIQE_BLOCK, NIQE_BLOCK // 2
    full = _near(range(blocks.start * NIQE_BLOCK, blocks.stop * NIQE_BLOCK), length)
    middles = 2 * _near(range(blocks.start * half, blocks.stop * half), length // 2)
    taps = _mirrored(middles + torch.tensor(_TAPS)[:, None], length)
    first, last = (int(f(torch.cat([full, taps.flatten()]))) for f in (torch.min, torch.max))
    return _Lines(range(first, last + 1), full - first, taps - first)


def _features_of(
    read: Callable[[range, range], Float[Tensor, "b 3 y x"]], down: _Lines, across: _Lines
) -> Float64[Tensor, "b c 36"]:
    """Features of neighbouring blocks of one row, at both sizes."""
    light = _luminance(read(down.read, across.read))
    full = light[:, down.full][:, :, across.full]
    weights = torch.tensor(_halving(), dtype=light.dtype, device=light.device)
    rows = torch.einsum("btyx,t->byx", light[:, down.taps], weights)
    half = torch.einsum("bytx,t->byx", rows[:, :, across.taps], weights)
    both = zip((full, half), (NIQE_BLOCK, NIQE_BLOCK // 2), strict=True)
    return torch.cat([_of_blocks(image, side) for image, side in both], dim=2)


def _near(lines: range, length: int) -> Int64[Tensor, "y"]:
    """Numbers of these lines and those that windows reach, the outermost ones repeated."""
    return torch.arange(lines.start - _REACH, lines.stop + _REACH).clamp(0, length - 1)


def _mirrored(lines: Tensor, length: int) -> Tensor:
    """Numbers of lines beyond the ends, mirrored at them."""
    inside = torch.where(lines < 0, -1 - lines, lines)
    return torch.where(inside >= length, 2 * length - 1 - inside, inside)


def _halving() -> list[float]:
    """Weights of the eight taps: MATLAB's bicubic kernel, widened twofold (a = −0.5)."""
    weights = []
    for tap in _TAPS:
        d = abs(tap - 0.5) / 2
        near = 1.5 * d**3 - 2.5 * d**2 + 1
        weights.append(near if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
    return [weight / sum(weights) for weight in weights]


def _luminance(images: Float[Tensor, "b 3 y x"]) -> Float64[Tensor, "b y x"]:
    """Luminance of ITU-R BT.601 from 16 to 235, rounded, of images in 8 bits.

    Some colours lie half-way between two levels, and which one they get moves NIQE by up to 0.1.
    BasicSR lets the rounding of float32 decide, and so does this.
    """
    levels = ((images * 255).round() / 255).float().double()
    light = torch.as_tensor(sum(levels[:, i] * weight for i, weight in enumerate(_LUMINANCE)))
    return (((light + _OFFSET) / 255).float() * 255).round().double()


def _of_blocks(light: Float64[Tensor, "b y x"], side: int) -> Float64[Tensor, "b c 18"]:
    """Features of a row of blocks with so many pixels a side, whose borders windows reach."""
    flat = _flattened(light)
    blocks = flat.reshape(len(flat), side, -1, side).movedim(2, 1)  # (b, c, y, x)
    shape, left, right = _asymmetric_gaussian(blocks)
    found = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = _asymmetric_gaussian(blocks * blocks.roll(shift, dims=(2, 3)))
        mean = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()
        found += [shape, mean, left, right]
    return torch.stack(found, dim=2)


def _flattened(light: Float64[Tensor, "b y x"]) -> Float32[Tensor, "b y2 x2"]:
    """Luminance less its local mean, over its local deviation and 1 (eq. 1 there).

    Rounded to float32 as in BasicSR, so that places without any texture are exactly 0 and count
    neither as negative nor as positive. In float64 they would be noise of either sign.
    """
    rounded = light.float()
    mean, square = (_local_mean(x.double()).float() for x in (rounded, rounded.square()))
    inner = rounded[:, _REACH:-_REACH, _REACH:-_REACH]
    return (inner - mean) / ((square - mean.square()).abs().sqrt() + 1)


def _local_mean(planes: Float64[Tensor, "b y x"]) -> Float64[Tensor, "b y2 x2"]:
    """Means under the Gaussian window of 7 × 7 pixels, where it fits in wholly."""
    window = torch.exp(-torch.arange(-_REACH, _REACH + 1).double().square() / (2 * _SIGMA**2))
    for dim in (1, 2):
        length = planes.shape[dim] - 2 * _REACH
        weights = (window / window.sum()).tolist()
        shifted = (planes.narrow(dim, shift, length) * w for shift, w in enumerate(weights))
        planes = torch.as_tensor(sum(shifted))
    return planes


def _asymmetric_gaussian(
    blocks: Float32[Tensor, "b c y x"],
) -> tuple[Float64[Tensor, "b c"], Float64[Tensor, "b c"], Float64[Tensor, "b c"]]:
    """Shape, and spread to the left and to the right, fitted by moments (Lasmar et al. 2009).

    NaN for blocks without negative or without positive values.
    """
    values = blocks.flatten(2)
    squares, above = values.square(), values > 0
    total, right = (x.sum(dim=2, dtype=torch.float64) for x in (squares, squares * above))
    left = ((total - right) / (values < 0).sum(dim=2)).sqrt()
    right = (right / above.sum(dim=2)).sqrt()
    ratio, count = left / right, values.shape[2]
    measured = values.abs().sum(dim=2, dtype=torch.float64).square() / (total * count)
    measured = measured * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1).square()
    shape = _shape_of(measured)
    scale = ((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2).exp()
    return shape, left * scale, right * scale


def _shape_of(measured: Float64[Tensor, "b c"]) -> Float64[Tensor, "b c"]:
    """The shape whose ratio of moments is nearest to each; NaN for NaN."""
    shapes, known = (table.to(measured.device) for table in _shapes())
    places = torch.searchsorted(known, measured.contiguous()).clamp(1, len(known) - 1)
    lower = (measured - known[places - 1]).abs() <= (known[places] - measured).abs()
    shape = torch.where(lower, shapes[places - 1], shapes[places])
    return torch.where(measured.isnan(), torch.nan, shape)


@lru_cache(maxsize=1)
def _shapes() -> tuple[Float64[Tensor, "g"], Float64[Tensor, "g"]]:
    """Shapes from 0.2 to 10 and the ratio of moments of each, (E|v|)² / E v², which grows."""
    shapes = torch.arange(200, 10_001, dtype=torch.float64) / 1000
    one, two, three = (torch.lgamma(k / shapes) for k in (1, 2, 3))
    return shapes, (2 * two - one - three).exp()
