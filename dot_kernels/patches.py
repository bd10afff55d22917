"""Overlapping latent patches: their moments, their size, and their weighted average.

Axes: b images, c latent channels, h and w latent height and width, p patch size, n
patches of one image (one for every position, stride 1, no padding), d = c * p * p
features of one patch in the order (c, p, p), as ``torch.nn.functional.unfold`` has them.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional

from dot_kernels.moments import GaussianMoments
from dot_kernels.transport import TransportOperator

Fold = Literal["uniform", "gaussian"]
"""Weights of the overlapping patches in the average at one latent pixel: all equal, or
falling off from the centre of a patch as a Gaussian of standard deviation p / 4."""

_ROWS_AT_ONCE = 1 << 15
"""Largest number of patches that are unfolded at once, unless one row has more."""


def patch_moments(
    latents: Float[Tensor, "b c h w"],
    patch_size: int,
    shown: Bool[Tensor, "b h w"] | None = None,
) -> GaussianMoments:
    """Moments of all patch_size × patch_size patches of a batch, on the CPU.

    Latents smaller than a patch have no patches; the count is then zero. Memory is
    bounded: patches are unfolded strip by strip of every image.

    Args:
        latents: of the batch.
        patch_size: height and width of a patch.
        shown: which latent pixels count; a patch does if all of its pixels do. None for all.

    Raises:
        ValueError: ``patch_size`` is below 1, or a latent is not finite.
    """
    if patch_size < 1:
        raise ValueError(f"patch size must be at least 1, got {patch_size}")
    batch, channels, height, width = latents.shape
    total = GaussianMoments.zero(channels * patch_size**2)
    rows, columns = height - patch_size + 1, width - patch_size + 1
    if batch == 0 or rows < 1 or columns < 1:
        return total
    strip = max(1, _ROWS_AT_ONCE // columns)
    for index in range(batch):
        for top in range(0, rows, strip):
            stop = min(top + strip, rows) + patch_size - 1
            part = latents[index : index + 1, :, top:stop]
            patches = functional.unfold(part, patch_size)[0].mT  # (n, d)
            if shown is not None:
                mask = functional.unfold(shown[index, top:stop][None, None].float(), patch_size)
                patches = patches[mask[0].amin(dim=0) > 0]
            total = total + _on_cpu(GaussianMoments.of(patches))
    return total


def patch_size_of(operator: TransportOperator, channels: int) -> int:
    """The patch size p with channels * p * p equal to the operator's dimension.

    Raises:
        ValueError: no whole number p fits, as for latents of another codec.
    """
    size = math.isqrt(operator.dimension // channels)
    if channels * size**2 != operator.dimension:
        raise ValueError(
            f"operator must map patches of {channels} channels, got {operator.dimension} "
            f"dimensions, which is no {channels} * p * p; use the codec it was fitted with"
        )
    return size


def weighted_average(
    patches: Float[Tensor, "b d n"], shape: torch.Size, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """Latents that average, at each pixel, the values of all patches that cover it.

    Args:
        patches: one column for each position, in the order of ``unfold``.
        shape: height and width of the latents.
        size: height and width p of a patch.
        fold: weights of the average.
    """
    weights = fold_weights(size, fold)
    return _weighted_sum(patches, shape, weights) / _coverage(weights, shape, patches)


def average_of_noise(
    patches: Float[Tensor, "b d n"], shape: torch.Size, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """Latents of noise that is independent from patch to patch, as strong as in the patches.

    The weighted average of independent values varies less than they do. It is multiplied at
    each pixel by Σw / √Σw², over the weights w of the patches that cover it, which gives
    latents the noise covariance that a pixel has in a patch.

    Args:
        patches: noise of mean 0, one column for each position, in the order of ``unfold``.
        shape: height and width of the latents.
        size: height and width p of a patch.
        fold: weights of the average.
    """
    height, width = shape
    total = sum_of_noise(patches, (height, width), size, fold)
    return total / root_of_squares(total, size, fold)


def sum_of_noise(
    patches: Float[Tensor, "b d n"], shape: tuple[int, int], size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """What ``average_of_noise`` divides: over strips of latents it adds up."""
    return _weighted_sum(patches, torch.Size(shape), fold_weights(size, fold))


def root_of_squares(
    total: Float[Tensor, "b c h w"], size: int, fold: Fold
) -> Float[Tensor, "1 1 h w"]:
    """By what ``average_of_noise`` divides a sum: √Σw² over the patches that cover each pixel."""
    return _coverage(fold_weights(size, fold).square(), total.shape[2:], total).sqrt()


def _weighted_sum(
    patches: Float[Tensor, "b d n"], shape: torch.Size, weights: Float64[Tensor, "p p"]
) -> Float[Tensor, "b c h w"]:
    """The sum over the patches that cover a pixel of weight times value."""
    channels = patches.shape[1] // weights.numel()
    weighted = patches * weights.flatten().to(patches).repeat(channels)[:, None]
    return functional.fold(weighted, shape, len(weights))


def _coverage(
    weights: Float64[Tensor, "p p"], shape: torch.Size, like: Tensor
) -> Float[Tensor, "1 1 h w"]:
    """The sum over the patches that cover a pixel of its weight, in another tensor's dtype."""
    size = len(weights)
    count = (shape[0] - size + 1) * (shape[1] - size + 1)
    shares = weights.flatten().to(like)[None, :, None].expand(1, -1, count)
    return functional.fold(shares, shape, size)


def fold_weights(size: int, fold: Fold) -> Float64[Tensor, "p p"]:
    """Weight of each position of a patch in the average of overlapping patches.

    At most 1 and positive; the average divides by the sum of the weights at its pixel.
    """
    if fold == "uniform":
        return torch.ones(size, size, dtype=torch.float64)
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    bell = torch.exp(-0.5 * (offset / (size / 4)).square())
    return torch.outer(bell, bell)


def _on_cpu(moments: GaussianMoments) -> GaussianMoments:
    return GaussianMoments(moments.count, moments.mean.cpu(), moments.scatter.cpu())
