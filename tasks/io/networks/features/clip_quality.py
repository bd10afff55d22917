"""CLIP-IQA as a judge of images: whether CLIP takes them for good or bad photos, by piq.

Axes: b images, c channels, h and w height and width, n places of the deepest layer.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dot_kernels.local_activations import Reader
from tasks.io.errors import WeightsMissing

CLIP_SHORTEST_SIDE = 32
"""Least height and width in pixels: the deepest layer has one place for so many."""

_MARGIN = 256
"""Pixels around a tile that its places depend on: 229, and whole places."""

_TILE = 512

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images, in [0, 1]."""

_PROMPTS = ((49406, 886, 1125, 269, 49407), (49406, 2103, 1125, 269, 49407))
""""Good photo." and "Bad photo." in CLIP's vocabulary, between its marks of start and end."""


@dataclass(frozen=True, slots=True)
class GoodPhoto:
    """CLIP-IQA of Wang et al. 2023 on its device, of images in their own size."""

    network: nn.Module
    """CLIP's ResNet without its last layer: images to maps (b, c, h / 32, w / 32)."""
    pool: Any
    """The last layer, attention over all places."""
    prompts: Tensor
    """Directions of the good and of the bad photo (2, c), times CLIP's scale."""
    device: str
    column: str = "clip_iqa"

    @torch.inference_mode()
    def __call__(
        self, images: Tensor, references: Tensor | None, opacity: Tensor | None
    ) -> list[float | None]:
        """Return CLIP-IQA of each image (b, 3, h, w) in [0, 1]; None for those that are too small.

        Args:
            images: as readers see them.
            references: not looked at.
            opacity: not looked at.
        """
        if min(images.shape[2:]) < CLIP_SHORTEST_SIDE:
            return [None] * len(images)
        return list(self._judged(self._maps(images).flatten(2)))

    @torch.inference_mode()
    def in_tiles(
        self, image: Reader, reference: Reader | None, size: tuple[int, int], opacity: Tensor | None
    ) -> float | None:
        """Return CLIP-IQA of a large image, whose deepest layer is computed in tiles.

        Args:
            image: gives rows and columns of it, (1, 3, y, x) in [0, 1].
            reference: not looked at.
            size: height and width.
            opacity: not looked at.
        """
        if min(size) < CLIP_SHORTEST_SIDE:
            return None
        rows, columns = (_windows(side) for side in size)
        parts = []
        for down, kept_down in rows:
            for across, kept_across in columns:
                maps = self._maps(image(down, across))
                parts.append(maps[:, :, kept_down, kept_across].flatten(2))
        return self._judged(torch.cat(parts, dim=2))[0]

    def _maps(self, images: Tensor) -> Tensor:
        mean, deviation = (
            torch.tensor(each, device=self.device)[:, None, None] for each in (_MEAN, _DEVIATION)
        )
        maps: Tensor = self.network((images.to(self.device) - mean) / deviation)
        return maps

    def _judged(self, places: Tensor) -> list[float]:
        """Return how good the photos are of which these are the places of a layer, (b, c, n)."""
        features = _attended(self.pool, places.permute(2, 0, 1))
        chances = (functional.normalize(features, dim=-1) @ self.prompts.mT).softmax(dim=-1)
        good: list[float] = chances[:, 0].tolist()
        return good


def _attended(pool: Any, places: Tensor) -> Tensor:
    """Return what the mean of all places attends to, (b, c), without their positions.

    Args:
        pool: CLIP's last layer, as piq has it, which lets every place attend.
        places: (n, b, c).
    """
    every = torch.cat([places.mean(dim=0, keepdim=True), places])
    asked = pool.q_proj(every[:1]), pool.k_proj(every), pool.v_proj(every)
    heads = (each.unflatten(-1, (pool.num_heads, -1)).permute(1, 2, 0, 3) for each in asked)
    found = functional.scaled_dot_product_attention(*heads)  # (b, heads, 1, c / heads)
    attended: Tensor = pool.c_proj(found.flatten(1))
    return attended


def _windows(length: int) -> list[tuple[range, slice]]:
    """Return which pixels of a side to read for each tile, and which of their places are its own.

    Every place is of 32 pixels, and the network's layers meet the ends of the image as in one
    piece: no other end is within reach of a tile's own places.
    """
    places, found = (length + 1) // 2 // 16, []
    for first in range(0, places, _TILE // 32):
        last = min(places, first + _TILE // 32)
        start = max(0, 32 * first - _MARGIN)
        stop = length if last == places else min(length, 32 * last + _MARGIN)
        found.append((range(start, stop), slice(first - start // 32, last - start // 32)))
    return found


class _Maps(nn.Module):
    """Stands in for the last layer, and gives back what goes into it."""

    def forward(self, maps: Tensor, *_: object) -> Tensor:
        """Return the maps."""
        return maps


def load_clip_quality(paths: Sequence[Path], device: str) -> GoodPhoto:
    """Return CLIP-IQA from the published file of CLIP's ResNet-50.

    The file is a TorchScript archive, which can hold code; its digest has been checked. Only
    tensors are taken of it.

    Raises:
        WeightsMissing: the file holds something else.
    """
    from piq.feature_extractors.clip import build_model

    (path,) = paths
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript, that it is going away
            state = torch.jit.load(path, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
        model = build_model(dict(state)).float().to(device).requires_grad_(False)
    except (RuntimeError, KeyError) as error:
        raise WeightsMissing(f"{path} must hold CLIP with a ResNet, got {error}") from error
    tokens = torch.zeros(len(_PROMPTS), model.context_length, dtype=torch.long, device=device)
    for row, prompt in zip(tokens, _PROMPTS, strict=True):
        row[: len(prompt)] = torch.tensor(prompt, device=device)
    prompts = functional.normalize(model.encode_text(tokens), dim=-1) * model.logit_scale.exp()
    pool, network = model.visual.attnpool, model.visual
    network.attnpool = _Maps()
    return GoodPhoto(network, pool, prompts, device)
