"""How many pixels a degraded image has, and where they lie on the clean one.

Sides of an image are a pair of height and width, in pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dot_kernels.degradations import Degradation, Downscale, GaussianBlur

Sides = tuple[int, int]
"""Height and width of an image."""


class SamplingGrid(NamedTuple):
    """Where a degraded image's pixels lie on a side of the clean one, both in clean pixels.

    The centre of pixel i is that of clean pixel ``first`` + i · ``spacing``.
    """

    spacing: int
    first: float


def sampling_grid(degradations: Sequence[Degradation]) -> SamplingGrid:
    """Where the pixels of an image lie after the degradations, along either side.

    A downscaled pixel lies in the middle of those it stands for; a stride keeps the first. A
    blur of even size has its first pixel in the middle of its weights: with 16 of them and a
    stride of 4, pixel i lies at 4 i + 7.5.
    """
    spacing, first = 1, 0.0
    for degradation in degradations:
        match degradation:
            case Downscale(factor=factor):
                first += spacing * (factor - 1) / 2
                spacing *= factor
            case GaussianBlur(size=size, stride=stride, has_borders=has_borders):
                first += 0 if has_borders else spacing * (size - 1) / 2
                spacing *= stride
    return SamplingGrid(spacing, first)


def total_downscaling(degradations: Sequence[Degradation]) -> int:
    """How many clean pixels apart the pixels of a degraded image lie."""
    return sampling_grid(degradations).spacing


def sides_before(degradations: Sequence[Degradation], sides: Sides) -> Sides:
    """The sides of a clean image whose degraded version has the given ones."""
    for degradation in reversed(degradations):
        sides = (_before(degradation, sides[0]), _before(degradation, sides[1]))
    return sides


def degradable_sides(degradations: Sequence[Degradation], sides: Sides) -> Sides:
    """The smallest sides, at least the given ones, of an image that can be degraded."""
    after = sides
    for degradation in degradations:
        after = (_after(degradation, after[0]), _after(degradation, after[1]))
    return sides_before(degradations, after)


def _before(degradation: Degradation, length: int) -> int:
    """The length of a side from which a degradation makes one of the given length."""
    match degradation:
        case Downscale(factor=factor):
            return length * factor
        case GaussianBlur(stride=stride, has_borders=True):
            return length * stride
        case GaussianBlur(size=size, stride=stride):
            return (length - 1) * stride + size
    return length


def _after(degradation: Degradation, length: int) -> int:
    """The length that a side has after a degradation, rounded up; at least 1."""
    match degradation:
        case Downscale(factor=factor):
            return -(-length // factor)
        case GaussianBlur(stride=stride, has_borders=True):
            return -(-length // stride)
        case GaussianBlur(size=size, stride=stride):
            return max(-(-(length - size) // stride), 0) + 1
    return length
