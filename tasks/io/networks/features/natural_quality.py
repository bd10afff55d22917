"""NIQE as a judge of images: its model of pristine photographs, from a published file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dot_kernels.local_activations import Reader
from dot_kernels.metrics.niqe import (
    NIQE_BLOCK,
    PristineModel,
    block_features,
    blocks_shown,
    natural_image_quality,
)
from tasks.io.errors import WeightsMissing


@dataclass(frozen=True, slots=True)
class NaturalQuality:
    """NIQE of images as they are seen on white; blocks in which nothing is seen do not count."""

    model: PristineModel
    device: str
    column: str = "niqe"

    def __call__(
        self, images: Tensor, references: Tensor | None, opacity: Tensor | None
    ) -> list[float | None]:
        """Return NIQE of each image (b, 3, h, w) in [0, 1]; None for fewer than two blocks.

        Args:
            images: as readers see them.
            references: not looked at.
            opacity: of the pictures (b, h, w); None where they are opaque.
        """
        features = block_features(_reader(images.to(self.device)), *images.shape[2:]).cpu()
        shown = [None] * len(images) if opacity is None else blocks_shown(opacity).cpu()
        return [
            natural_image_quality(one, self.model, counted)
            for one, counted in zip(features, shown, strict=True)
        ]

    def in_tiles(
        self, image: Reader, reference: Reader | None, size: tuple[int, int], opacity: Tensor | None
    ) -> float | None:
        """Return NIQE of a large image, a few blocks of which are read at a time.

        Args:
            image: gives rows and columns of it, (1, 3, y, x) in [0, 1].
            reference: not looked at.
            size: height and width.
            opacity: of the picture (h, w), in any scale; None where it is opaque.
        """
        features = block_features(image, *size)[0].cpu()
        return natural_image_quality(features, self.model, _shown(opacity))


def _reader(images: Tensor) -> Reader:
    return lambda down, across: images[..., down.start : down.stop, across.start : across.stop]


def _shown(opacity: Tensor | None) -> Tensor | None:
    """Return which blocks of a large picture show anything, found a row of blocks at a time."""
    if opacity is None:
        return None
    tops = range(0, len(opacity) - NIQE_BLOCK + 1, NIQE_BLOCK)
    rows: Sequence[Tensor] = [blocks_shown(opacity[None, t : t + NIQE_BLOCK])[0] for t in tops]
    return torch.cat(list(rows)) if rows else torch.zeros(0, dtype=torch.bool)


def load_natural_quality(paths: Sequence[Path], device: str) -> NaturalQuality:
    """Return NIQE with the model of pristine photographs that is in a file of BasicSR.

    Raises:
        WeightsMissing: the file holds something else.
    """
    (path,) = paths
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, covariance = arrays["mu_pris_param"], arrays["cov_pris_param"]
    except (OSError, ValueError, KeyError) as error:
        raise WeightsMissing(f"{path} must hold NIQE's pristine model, got {error}") from error
    model = PristineModel(torch.from_numpy(mean).flatten(), torch.from_numpy(covariance))
    return NaturalQuality(model, device)
