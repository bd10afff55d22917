"""A network of spandrel as a restorer of images: batches, noise levels, sizes and tiles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.image_networks import AllowedSizes, ImageNetwork
from dot_kernels.local_layers import LocalLayer, layers_of
from dot_kernels.local_networks import LocalNetwork
from dot_kernels.restorers import noise_level
from dot_kernels.sampling import sides_before, total_downscaling
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.shards.sides import SideKind

_SPANDRELS_LEVEL = 15 / 255
"""The noise level that spandrel tells every network that asks for one."""

_NO_TILES = 1 << 20
"""Side of a tile that is larger than any image."""


@dataclass(frozen=True, eq=False)
class SpandrelRestorer:
    """A network on its device, which restores images of equal size together."""

    device: str
    checkpoint: str
    descriptor: Any
    """spandrel's description of the network, which holds it."""
    tile: int = 512
    """Side of a square with as many pixels as a tile of a larger image has, at most."""
    takes_batches: bool = True
    memory_format: torch.memory_format = torch.channels_last
    """How images lie in memory: convolutions are faster where channels are last."""
    takes_several: bool = True
    """Whether the network gives each of several images what it gives one alone."""

    @property
    def scale(self) -> int:
        """How many times as large the sides of an image become."""
        return int(self.descriptor.scale)

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Check that the network undoes the downscaling, and knows the noise, of degradations.

        Args:
            degradations: none where it is not known what images went through.

        Raises:
            ConfigurationError: it does not.
        """
        factor = total_downscaling(degradations)
        if degradations and self.scale != factor:
            raise ConfigurationError(
                f"restore.checkpoint must enlarge by {factor}, which the degradations reduce by, "
                f"got a network for {self.scale}"
            )
        if sides_before(degradations, (1, 1)) != (factor, factor):
            raise ConfigurationError(
                "a network of spandrel does not restore borders: a gaussian-blur among the "
                "degradations must have an odd size, got an even one"
            )
        if asks_for_the_level(self.descriptor) and not noise_level(degradations) > 0:
            raise ConfigurationError(
                f"{self.checkpoint} holds a network that must be told the noise level "
                f"({self.descriptor.architecture.name}), got none; add {{kind: noise, sigma: …}} "
                "to degrade or restore.undoes"
            )

    @torch.inference_mode()
    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None],
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return images (b, 3, H, W) in [0, 1], on the device; see ``LoadedRestorer``.

        Raises:
            ImageRefused: images of this size are too small for the network.
            ValueError: what it makes has another size than spandrel says.
        """
        self._require_room(degraded.shape[2], degraded.shape[3])
        network = _network(self.descriptor, noise_level(degradations), self.memory_format)
        channels = self.descriptor.input_channels
        images = degraded.to(self.device, self.descriptor.dtype)
        if channels == 1:  # plane by plane
            images = images.flatten(0, 1)[:, None]
        tiles_itself = self.descriptor.tiling.name == "INTERNAL"
        tile = _NO_TILES if tiles_itself else self.tile
        images = images.contiguous(memory_format=self.memory_format)
        several = [images] if self.takes_several else torch.split(images, 1)
        restored = torch.cat([network.tiled(each, tile, hear) for each in several])
        if channels == 1:
            restored = restored.reshape(-1, 3, *restored.shape[2:])
        return restored.float().clamp(0, 1)

    def _require_room(self, height: int, width: int) -> None:
        """Check that an image can be continued by one reflection to what the network takes.

        Raises:
            ImageRefused: it cannot.
        """
        wanted = allowed_sizes(self.descriptor).around(height, width)
        if wanted[0] > 2 * height - 1 or wanted[1] > 2 * width - 1:
            raise ImageRefused(
                f"too small for the restorer: {height}×{width} pixels, of which its network "
                f"takes {wanted[0]}×{wanted[1]} at least"
            )


def asks_for_the_level(descriptor: Any) -> bool:
    """Return whether a network must be told the level of the noise."""
    return descriptor.architecture.id == "DRUNet" or "FDnCNN" in descriptor.tags


def allowed_sizes(descriptor: Any) -> AllowedSizes:
    """Return the sizes of images that a network takes."""
    told = descriptor.size_requirements
    minimum = max(told.minimum, 1)
    return AllowedSizes(multiple=told.multiple_of, minimum=minimum, square=told.square)


def _network(descriptor: Any, level: float, memory_format: torch.memory_format) -> ImageNetwork:
    """Return the network as a function of images.

    Args:
        descriptor: spandrel's.
        level: of the noise, which a network is told that asks for it; spandrel always says 15/255,
            and so does this where it is 0.
        memory_format: of the images that it is given.
    """
    is_told = asks_for_the_level(descriptor)

    def whole(images: Tensor) -> Tensor:
        given = _with_the_level(images, level or _SPANDRELS_LEVEL) if is_told else images
        given = given.contiguous(memory_format=memory_format)
        made: Tensor = descriptor.model(given) if is_told else descriptor(given)
        return made

    return ImageNetwork(
        whole=whole,
        scale=descriptor.scale,
        sizes=allowed_sizes(descriptor),
        in_tiles=_chain(descriptor, level or _SPANDRELS_LEVEL, memory_format),
    )


def _with_the_level(images: Tensor, level: float) -> Tensor:
    """Return images (b, c, h, w) with a map of the noise level beside them."""
    return torch.cat([images, torch.full_like(images[:, :1], level)], dim=1)


def _chain(
    descriptor: Any, level: float, memory_format: torch.memory_format
) -> Callable[[Tensor, int], Tensor] | None:
    """Return what computes a chain of local layers in tiles; None for any other network."""
    if descriptor.architecture.id != "DnCNN" or not (layers := layers_of(descriptor.model.model)):
        return None

    def given(layer: LocalLayer) -> LocalLayer:  # a crop as the whole lies, for the same kernels
        return replace(
            layer, apply=lambda crop: layer.apply(crop.contiguous(memory_format=memory_format))
        )

    chain, is_told = LocalNetwork(tuple(map(given, layers))), asks_for_the_level(descriptor)

    def in_tiles(images: Tensor, pixels: int) -> Tensor:
        if is_told:
            return chain.in_tiles(_with_the_level(images, level), pixels)
        return images - chain.in_tiles(images, pixels)  # it predicts the noise

    return in_tiles
