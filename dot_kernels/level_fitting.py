"""Fitting maps of a decoder's activations: their moments, level after level.

Axes: b images, c latent channels, y and x latent height and width, k channels of a level, y2 and
x2 its height and width.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dot_kernels.blending import whole
from dot_kernels.codecs import Codec
from dot_kernels.diagnostics import diagnose
from dot_kernels.latent_transport import transport_latents
from dot_kernels.levels import (
    LevelledOperator,
    level_channels,
    scale_of,
    stages_with,
    with_levels,
)
from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.patches import Fold, patch_moments
from dot_kernels.staged_codecs import require_stages
from dot_kernels.transport import DEFAULT_RIDGE, TransportOperator, solve_map


def level_activations(
    latents: Float[Tensor, "b c y x"], codec: Codec, level: int
) -> Float[Tensor, "b k y2 x2"]:
    """What the decoder shows at a level for latents, in the dtype of its network.

    Args:
        latents: as the decoder gets them: of restored images after their transport, of natural
            ones as they are.
        codec: for restored images one ``with_levels`` of the operator ``below`` this level.
        level: from 0; after the map there, if the codec has one.

    Raises:
        ValueError: the codec has no such level.
    """
    stages_with(codec, [level])
    return whole(require_stages(codec).activations(latents, level + 1))


def level_moments(
    latents: Float[Tensor, "b c y x"],
    codec: Codec,
    level: int,
    patch_size: int,
    *,
    size: tuple[int, int] | None = None,
    shown: Bool[Tensor, "b y2 x2"] | None = None,
) -> list[GaussianMoments]:
    """Moments of all patches of activations at a level, for each image of a batch, on the CPU.

    Memory follows from a tile of the codec, not from the image.

    Args:
        latents: see ``level_activations``.
        codec: see ``level_activations``.
        level: from 0.
        patch_size: height and width p of a patch, in pixels of the level.
        size: height and width of the images, whose padding is left out; None if there is none.
        shown: which pixels of the level count; a patch does if all of its pixels do. None for all.

    Raises:
        ValueError: the codec has no such level, or an activation is not finite.
    """
    stages = stages_with(codec, [level])
    cell = max(codec.factor // scale_of(stages, level), 1)  # image pixels per pixel of the level
    place = None if size is None else (size[0] // cell, size[1] // cell)
    empty = GaussianMoments.zero(stages[level].channels * patch_size**2)
    totals, top = [empty] * len(latents), 0
    bands = require_stages(codec).activations(latents, level + 1)
    for rows in _overlapping(bands, patch_size - 1, place):
        mask = None if shown is None else shown[:, top : top + rows.shape[2], : rows.shape[3]]
        top += max(rows.shape[2] - patch_size + 1, 0)
        for index, total in enumerate(totals):
            ours = slice(index, index + 1)
            own = patch_moments(rows[ours], patch_size, None if mask is None else mask[ours])
            totals[index] = total + own
    return totals


def _overlapping(
    bands: Iterable[Float[Tensor, "b k _ x2"]], overlap: int, size: tuple[int, int] | None
) -> Iterator[Float[Tensor, "b k _ x3"]]:
    """Bands that begin with the last rows of those before, so that all patches are in one of them.

    Args:
        bands: from top to bottom.
        overlap: how many rows.
        size: height and width beyond which rows and columns are left out; None for all.
    """
    kept, top = torch.empty(0), 0
    height, width = (None, None) if size is None else size
    for band in bands:
        rows = band[:, :, : None if height is None else max(height - top, 0), :width]
        top += band.shape[2]
        rows = torch.cat([kept, rows], dim=2) if kept.numel() else rows
        yield rows
        kept = rows[:, :, max(rows.shape[2] - overlap, 0) :].clone()


def solve_level(
    source: GaussianMoments, target: GaussianMoments, *, ridge: float = DEFAULT_RIDGE
) -> TransportOperator:
    """The map of a level: ``solve_transport`` without noise, whatever the source.

    Where a direction of the source is empty (a channel that is 0 for all restored images), the map
    is the mean of eq. 5: noise in activations would differ from tile to tile.

    Args:
        source: moments of activations for restored images, moved by all maps below.
        target: moments of activations for natural images.
        ridge: see ``solve_transport``.

    Raises:
        ValueError: as ``solve_transport``.
    """
    matrix, _ = solve_map(source, target, ridge=ridge)
    diagnostics = diagnose(source, target, matrix, None, ridge)
    return TransportOperator(matrix, source.mean, target.mean, None, diagnostics)


def fit_levels(
    operator: TransportOperator,
    restored: Sequence[Float[Tensor, "_ c _ _"]],
    natural: Sequence[Float[Tensor, "_ c _ _"]],
    codec: Codec,
    *,
    levels: Sequence[int] | None = None,
    patch_size: int = 1,
    ridge: float = DEFAULT_RIDGE,
    generators: Sequence[Sequence[torch.Generator]] | None = None,
) -> LevelledOperator:
    """An operator with maps at levels of the decoder, fitted one after the other.

    Args:
        operator: of latents, from ``solve_transport``.
        restored: batches of latents of restored images, at least one patch high and wide.
        natural: batches of latents of natural images.
        codec: of these latents.
        levels: which, from 0; None for all that the codec has.
        patch_size: height and width of a patch, in pixels of each level.
        ridge: of the maps of levels.
        generators: for each batch of restored images one per image, if ``operator`` adds noise.

    Raises:
        ValueError: the codec has no such level, or the moments allow no map.
    """
    wanted = range(len(level_channels(codec))) if levels is None else sorted(set(levels))
    draws = zip(restored, generators or [()] * len(restored), strict=True)
    mapped = [transport_latents(each, operator, generators=drawn) for each, drawn in draws]
    fitted = LevelledOperator(operator, {})
    for level in wanted:
        fitted = fit_level(
            fitted, level, mapped, natural, codec, patch_size=patch_size, ridge=ridge
        )
    return fitted


def fit_level(
    below: LevelledOperator,
    level: int,
    mapped: Sequence[Float[Tensor, "_ c _ _"]],
    natural: Sequence[Float[Tensor, "_ c _ _"]],
    codec: Codec,
    *,
    patch_size: int = 1,
    ridge: float = DEFAULT_RIDGE,
    fold: Fold = "uniform",
) -> LevelledOperator:
    """An operator with a map at one level more.

    Args:
        below: the maps of latents and of all levels below.
        level: of the decoder, from 0.
        mapped: batches of latents of restored images after their transport, of any sizes.
        natural: batches of latents of natural images.
        codec: of these latents.
        patch_size: height and width of a patch, in pixels of the level.
        ridge: of the map.
        fold: weights of overlapping patches of the maps below, see ``Fold``.

    Raises:
        ValueError: the codec has no such level, or the moments allow no map.
    """
    moved = with_levels(codec, below, fold=fold)
    source, target = (
        merge(m for z in batches for m in level_moments(z, decoder, level, patch_size))
        for batches, decoder in ((mapped, moved), (natural, codec))
    )
    own = {level: solve_level(source, target, ridge=ridge)}
    return LevelledOperator(below.latent, {**below.levels, **own})
