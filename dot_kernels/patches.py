"""Overlapping latent patches: their moments, and an affine map applied to all of them.

Axes: b images, c latent channels, h and w latent height and width, p patch size,
d = c * p * p features of one patch in the order (c, p, p), as ``unfold`` gives them.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import square_root
from dot_kernels.transport import TransportOperator

Fold = Literal["uniform", "gaussian"]
"""Weights of the overlapping answers for one latent pixel: all equal, or falling off
from the centre of the patch as a Gaussian of standard deviation p / 4."""

_ROWS_AT_ONCE = 1 << 15


def patch_moments(latents: Float[Tensor, "b c h w"], patch_size: int) -> GaussianMoments:
    """Moments of every patch_size × patch_size patch at stride 1, no padding.

    Latents smaller than a patch have no patches; the count is then zero. Memory is
    bounded: patches are taken in strips.

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
            total = total + _on_cpu(GaussianMoments.of(patches))
    return total


def transport_latents(
    latents: Float[Tensor, "b c h w"],
    operator: TransportOperator,
    *,
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Float[Tensor, "b c h w"]:
    """Latents whose overlapping patches were all mapped and averaged back.

    Equal to unfold, map, weighted fold, division by the folded weights, at every
    position (Adrai et al. 2023, section 3.2), but computed as one convolution with a
    (2p−1) × (2p−1) kernel inside, and its truncations along the border.

    Args:
        latents: at least one patch high and wide; any floating dtype, which is kept.
        operator: fitted on patches of these latents' channels; its dimension tells p.
        fold: weights of the overlapping answers.
        generators: one per image, on the CPU; needed by a stochastic operator, whose
            noise is independent per patch, and unused by a deterministic one.

    Raises:
        ValueError: the operator does not fit the channels, latents are smaller than a
            patch, or a stochastic operator gets a wrong number of generators.
    """
    batch, channels, height, width = latents.shape
    size = patch_size_of(operator, channels)
    if min(height, width) < size:
        raise ValueError(
            f"latents must be at least one patch of {size}×{size}, got {height}×{width}; "
            "pad the image or fit with a smaller patch size"
        )
    if min(height, width) < _shortest(size):
        mapped = _literal(latents, operator, size, fold)
    else:
        mapped = _convolved(latents, operator, size, fold)
    if operator.noise_covariance is None:
        return mapped
    if len(generators) != batch:
        raise ValueError(
            f"a stochastic operator needs one generator per image, got {len(generators)} "
            f"for {batch} images"
        )
    return mapped + _noise(operator, generators, latents, size, fold)


def patch_size_of(operator: TransportOperator, channels: int) -> int:
    """The patch size p with channels * p * p equal to the operator's dimension.

    Raises:
        ValueError: there is none.
    """
    size = math.isqrt(operator.dimension // channels)
    if channels * size**2 != operator.dimension:
        raise ValueError(
            f"operator must map patches of {channels} channels, got {operator.dimension} "
            f"dimensions, which is no {channels} * p * p; use the codec it was fitted with"
        )
    return size


def _literal(
    latents: Float[Tensor, "b c h w"], operator: TransportOperator, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """Unfold, map, fold, divide: for latents that are hardly more than their borders."""
    patches = functional.unfold(latents, size)  # (b, d, n)
    matrix, offset = operator.matrix.to(latents), operator.offset().to(latents)
    return _folded(matrix @ patches + offset[:, None], latents.shape[2:], size, fold)


def _convolved(
    latents: Float[Tensor, "b c h w"], operator: TransportOperator, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """The same as nine convolutions: inside, four sides, four corners."""
    channels, height, width = latents.shape[1:]
    rows = []
    for down, seen_rows in _stretches(size, height):
        row = []
        for across, seen_columns in _stretches(size, width):
            pair = (down, across)
            kernel = _kernel(operator, channels, fold, pair, latents.dtype, latents.device)
            row.append(_convolve(latents[:, :, seen_rows, seen_columns], kernel))
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _folded(
    patches: Float[Tensor, "b d n"], shape: torch.Size, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """The weighted average of overlapping patches."""
    weights = _fold_weights(size, fold).flatten().to(patches)  # (p * p,)
    channels = patches.shape[1] // len(weights)
    total = functional.fold(patches * weights.repeat(channels)[:, None], shape, size)
    shares = weights[None, :, None].expand(1, -1, patches.shape[2])
    return total / functional.fold(shares, shape, size)


class _Stretch(NamedTuple):
    """Outputs along one axis that share a kernel, and the inputs that they see.

    All positions inside an axis look alike, and so do its two ends at any length, so
    they are described on the shortest axis that has an inside.
    """

    outputs: range
    inputs: range


class _Kernel(NamedTuple):
    """A convolution whose output channels hold (c, o, p) for a block of o × p outputs."""

    weight: Float[Tensor, "out c s t"]
    bias: Float[Tensor, "out"]
    block: tuple[int, int]


def _shortest(size: int) -> int:
    """The shortest axis that has an inside: a pixel no border patch answers for alone."""
    return 4 * (size - 1) + 1


def _stretches(size: int, length: int) -> list[tuple[_Stretch, slice]]:
    """An axis cut into border, inside, border, each with the inputs it sees."""
    border, reach, shortest = size - 1, 2 * (size - 1), _shortest(size)
    inside = _Stretch(range(reach, reach + 1), range(border, border + reach + 1))
    if border == 0:
        return [(inside, slice(0, length))]
    near = _Stretch(range(border), range(reach))
    far = _Stretch(range(shortest - border, shortest), range(shortest - reach, shortest))
    return [
        (near, slice(0, reach)),
        (inside, slice(0, length)),
        (far, slice(length - reach, length)),
    ]


def _hits(size: int, stretch: _Stretch) -> Float64[Tensor, "o s k l"]:
    """1 where output o is answered by a patch at its row k and input s is its row l."""
    starts = range(_shortest(size) - size + 1)
    hits = torch.zeros(len(stretch.outputs), len(stretch.inputs), size, size, dtype=torch.float64)
    for o, position in enumerate(stretch.outputs):
        for k in range(size):
            if position - k in starts:
                first = position - k - stretch.inputs.start
                hits[o, range(first, first + size), k, range(size)] = 1
    return hits


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # or the first caller's mode would stick to later ones
def _kernel(
    operator: TransportOperator,
    channels: int,
    fold: Fold,
    stretches: tuple[_Stretch, _Stretch],
    dtype: torch.dtype,
    device: torch.device,
) -> _Kernel:
    """The map of a patch, its overlaps averaged, as one convolution; built in float64."""
    size = patch_size_of(operator, channels)
    down, across = (_hits(size, stretch) for stretch in stretches)
    answers_down, answers_across = down.amax((1, 3)), across.amax((1, 3))  # (o, k), (p, m)
    weights = _fold_weights(size, fold)  # (k, m)
    shape = (channels, size, size)
    matrix = operator.matrix.cpu().view(*shape, *shape)  # (c, k, m, e, l, n)
    matrix = matrix * weights[:, :, None, None, None]
    offset = operator.offset().cpu().view(shape) * weights  # (c, k, m)
    share = torch.einsum("ok,pm,km->op", answers_down, answers_across, weights)
    partial = torch.einsum("ckmeln,oskl->cmenos", matrix, down)
    weight = torch.einsum("cmenos,ptmn->copest", partial, across)
    weight = weight / share[:, :, None, None, None]
    bias = torch.einsum("ckm,ok,pm->cop", offset, answers_down, answers_across) / share
    return _Kernel(
        weight.flatten(0, 2).to(device, dtype),
        bias.flatten().to(device, dtype),
        (len(answers_down), len(answers_across)),
    )


def _convolve(window: Float[Tensor, "b c h w"], kernel: _Kernel) -> Float[Tensor, "b c y x"]:
    """One rectangle of the output: one of its sides is a block, the other slides."""
    answer = functional.conv2d(window, kernel.weight, kernel.bias)
    batch, _, height, width = answer.shape
    down, across = kernel.block
    answer = answer.view(batch, -1, down, across, height, width)  # (b, c, o, p, y, x)
    return answer.transpose(3, 4).reshape(batch, -1, down * height, across * width)


def _noise(
    operator: TransportOperator,
    generators: Sequence[torch.Generator],
    latents: Float[Tensor, "b c h w"],
    size: int,
    fold: Fold,
) -> Float[Tensor, "b c h w"]:
    """The folded average of noise drawn independently for every patch."""
    height, width = latents.shape[2:]
    root = _noise_root(operator)  # (d, d)
    count = (height - size + 1) * (width - size + 1)
    draws = [torch.randn(len(root), count, generator=generator) for generator in generators]
    patches = root @ torch.stack(draws)  # (b, d, n)
    return _folded(patches, latents.shape[2:], size, fold).to(latents)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _noise_root(operator: TransportOperator) -> Float[Tensor, "d d"]:
    """The square root of the noise covariance, in float32 on the CPU."""
    assert operator.noise_covariance is not None  # noqa: S101 - only asked for if there is one
    return square_root(operator.noise_covariance.cpu()).float()


def _fold_weights(size: int, fold: Fold) -> Float64[Tensor, "p p"]:
    """How much each position of a patch counts in the average."""
    if fold == "uniform":
        return torch.ones(size, size, dtype=torch.float64)
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    bell = torch.exp(-0.5 * (offset / (size / 4)).square())
    return torch.outer(bell, bell)


def _on_cpu(moments: GaussianMoments) -> GaussianMoments:
    return GaussianMoments(moments.count, moments.mean.cpu(), moments.scatter.cpu())
