"""A transport operator applied to all overlapping patches of latents.

Axes: b images, c latent channels, h and w latent height and width, p patch size, n
patches of one image, d = c * p * p features of one patch.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.convolution import convolve_exactly, convolve_patches, shortest_side
from dot_kernels.patches import (
    Fold,
    average_of_noise,
    patch_size_of,
    root_of_squares,
    sum_of_noise,
    weighted_average,
)
from dot_kernels.spd import square_root
from dot_kernels.transport import TransportOperator

_PATCHES_AT_ONCE = 1 << 18
"""Patches whose noise is drawn at once, unless one row has more: those of 2²⁴ pixels in latents
of factor 8."""


def transport_latents(
    latents: Float[Tensor, "b c h w"],
    operator: TransportOperator,
    *,
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Float[Tensor, "b c h w"]:
    """Latents whose overlapping patches were all mapped and averaged back.

    Equal to unfold, map, weighted fold, division by the folded weights, at every
    position (Adrai et al. 2023, section 3.2), but computed as convolutions. The noise of a
    stochastic operator is scaled so that averaging does not weaken it.

    Args:
        latents: at least one patch high and wide; any floating dtype, which is kept.
        operator: fitted on patches of latents with as many channels; its dimension
            gives the patch size p.
        fold: weights of the overlapping patches in the average.
        generators: one per image, on the CPU; needed by a stochastic operator, whose
            noise is independent per patch, and unused by a deterministic one.

    Raises:
        ValueError: the operator does not fit the channels, latents are smaller than a
            patch, or a stochastic operator gets a wrong number of generators.
    """
    size = patch_size_of(operator, latents.shape[1])
    height, width = latents.shape[2:]
    if min(height, width) < size:
        raise ValueError(
            f"latents must be at least one patch of {size}×{size}, got {height}×{width}; "
            "pad the image or fit with a smaller patch size"
        )
    is_small = min(height, width) < shortest_side(size)
    apply = _map_and_average if is_small else convolve_patches
    mapped = apply(latents, operator, size, fold)
    if operator.is_stochastic:
        mapped = mapped + _noise(latents, operator, size, fold, generators)
    return mapped


def _map_and_average(
    latents: Float[Tensor, "b c h w"], operator: TransportOperator, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """The deterministic part, patch by patch: for latents too small for ``convolve_patches``.

    The map of every patch is a convolution too, whose d output channels are its features.
    """
    weight = operator.matrix.view(-1, latents.shape[1], size, size)  # (d, c, p, p)
    mapped = convolve_exactly(latents, weight.to(latents), operator.offset().to(latents))
    return weighted_average(mapped.flatten(2), latents.shape[2:], size, fold)


def _noise(
    latents: Float[Tensor, "b c h w"],
    operator: TransportOperator,
    size: int,
    fold: Fold,
    generators: Sequence[torch.Generator],
) -> Float[Tensor, "b c h w"]:
    """The noise of all patches, drawn independently for each and averaged without loss.

    That of large latents is drawn strip by strip, so that memory is bounded. A strip has a fixed
    number of patches: the noise of an image does not depend on how the rest is done in parts.

    Raises:
        ValueError: the number of generators is not that of the images.
    """
    batch, _, height, width = latents.shape
    if len(generators) != batch:
        raise ValueError(
            f"a stochastic operator needs one generator per image, got {len(generators)} "
            f"for {batch} images"
        )
    root = _noise_root(operator)  # (d, d)
    rows, columns = height - size + 1, width - size + 1
    strip = max(_PATCHES_AT_ONCE // columns, 1)
    if rows <= strip:
        patches = _drawn(root, rows * columns, generators)
        return average_of_noise(patches, latents.shape[2:], size, fold).to(latents)
    noise = torch.zeros_like(latents)
    for top in range(0, rows, strip):
        count = min(strip, rows - top)
        patches = _drawn(root, count * columns, generators)
        place = slice(top, top + count + size - 1)
        noise[:, :, place] += sum_of_noise(patches, (count + size - 1, width), size, fold).to(noise)
    return noise / root_of_squares(noise, size, fold)


def _drawn(
    root: Float[Tensor, "d d"], count: int, generators: Sequence[torch.Generator]
) -> Float[Tensor, "b d n"]:
    """The noise of so many patches of each image: the next numbers of its generator."""
    draws = [torch.randn(len(root), count, generator=generator) for generator in generators]
    return root @ torch.stack(draws)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # or gradients would fail later, if the first call was without
def _noise_root(operator: TransportOperator) -> Float[Tensor, "d d"]:
    """The square root of the noise covariance, in float32 on the CPU."""
    assert operator.noise_covariance is not None  # noqa: S101 - only asked for if there is one
    return square_root(operator.noise_covariance.cpu()).float()
