"""Pyramids of an image, the patches of their levels, and the adjoints of both.

Axes: c channels, h and w height and width, n patches, or k of them, p patch size, d = c * p * p
values of a patch in the order (c, p, p).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_TAPS = torch.exp(-0.5 * (torch.arange(4, dtype=torch.float64) - 1.5).square())
_KERNEL = torch.outer(_TAPS, _TAPS) / _TAPS.sum() ** 2
"""4 × 4 weights of a Gaussian with a standard deviation of one pixel; their sum is 1."""


def halved(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h2 w2"]:
    """The image blurred by a Gaussian of 4 × 4 pixels, of which every second is kept.

    Borders are not continued, so a side of n pixels, at least 4, becomes one of ⌊n/2⌋ − 1.
    """
    kernel = _KERNEL.to(image)[None, None]
    smaller: Tensor = functional.conv2d(image[:, None], kernel, stride=2)
    return smaller[:, 0]


def pyramid(image: Float[Tensor, "c h w"], levels: int, smallest: int) -> list[Tensor]:
    """The image, the image halved, and so on: at most ``levels``, finest first.

    Halving ends before a side has fewer than ``smallest`` pixels.
    """
    found = [image]
    while len(found) < levels and min(found[-1].shape[1:]) // 2 - 1 >= smallest:
        found.append(halved(found[-1]))
    return found


def pyramid_adjoint(gradients: list[Tensor]) -> Float[Tensor, "c h w"]:
    """The adjoint of ``pyramid``: from a gradient at each level to one at the finest."""
    total = gradients[-1]
    for finer in reversed(gradients[:-1]):
        total = finer + _halved_adjoint(total, finer.shape)
    return total


def _halved_adjoint(smaller: Float[Tensor, "c h2 w2"], shape: torch.Size) -> Tensor:
    kernel = _KERNEL.to(smaller)[None, None]
    spread = functional.conv_transpose2d(smaller[:, None], kernel, stride=2)[:, 0]
    missing = (0, shape[2] - spread.shape[2], 0, shape[1] - spread.shape[1])
    return functional.pad(spread, missing)


def patches_of(image: Float[Tensor, "c h w"], size: int, stride: int) -> Float[Tensor, "n d"]:
    """All size × size patches whose corners are ``stride`` pixels apart, the last included.

    So every pixel is in a patch, also where ``stride`` does not divide what is left.
    """
    return _patches_at(image, size, _positions(image.shape, size, stride))


def drawn_patches(
    image: Float[Tensor, "c h w"], size: int, count: int, generator: torch.Generator
) -> Float[Tensor, "k d"]:
    """At most ``count`` of all size × size patches, each once; in their order if that is all.

    What is held is these patches and not all of the image's. The generator is on the CPU.
    """
    total = (image.shape[1] - size + 1) * (image.shape[2] - size + 1)
    if total <= count:
        return _patches_at(image, size, torch.arange(total))
    return _patches_at(image, size, torch.randperm(total, generator=generator)[:count])


def patches_adjoint(
    patches: Float[Tensor, "n d"], shape: torch.Size, size: int, stride: int
) -> Float[Tensor, "c h w"]:
    """The adjoint of ``patches_of``: at each pixel the sum over all patches that cover it."""
    positions = _positions(shape, size, stride).to(patches.device)
    count = (shape[1] - size + 1) * (shape[2] - size + 1)
    columns = patches.new_zeros(patches.shape[1], count)
    columns[:, positions] = patches.mT
    return functional.fold(columns[None], shape[1:], size)[0]


def _patches_at(
    image: Float[Tensor, "c h w"], size: int, positions: Int[Tensor, "k"]
) -> Float[Tensor, "k d"]:
    """Patches by their numbers, row by row, among those of stride 1."""
    windows = image.unfold(1, size, 1).unfold(2, size, 1)  # (c, rows, columns, p, p), a view
    positions = positions.to(image.device)
    rows, columns = positions // windows.shape[2], positions % windows.shape[2]
    return windows[:, rows, columns].movedim(1, 0).flatten(1)


def _positions(shape: torch.Size, size: int, stride: int) -> Int[Tensor, "n"]:
    """Where the patches stand among those of stride 1, row by row."""
    rows, columns = (_corners(side - size, stride) for side in shape[1:])
    return (rows[:, None] * (shape[2] - size + 1) + columns).flatten()


def _corners(last: int, stride: int) -> Int[Tensor, "k"]:
    return torch.tensor(sorted({*range(0, last, stride), last}))
