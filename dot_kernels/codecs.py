"""Codecs between images and latents.

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / factor, w / factor). Images are float in [0, 1].
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dot_kernels.local_layers import LocalLayer
from dot_kernels.local_networks import LocalNetwork


@runtime_checkable
class Codec(Protocol):
    """An encoder and a decoder; image sides must be multiples of ``factor``."""

    @property
    def factor(self) -> int:
        """Number of image pixels for one latent pixel, along each side."""

    @property
    def channels(self) -> int:
        """Number c of latent channels."""

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The latents of images in [0, 1]."""

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images of latents; a network's may lie a little outside [0, 1]."""


@runtime_checkable
class LocalCodec(Codec, Protocol):
    """A codec that can say how its networks are chains of local layers.

    Such networks give the same for a tile as for the image around it (``TiledCodec``).
    """

    @property
    def encoder(self) -> LocalNetwork | None:
        """The layers of ``encode``; None where outputs depend on the whole image."""

    @property
    def decoder(self) -> LocalNetwork | None:
        """The layers of ``decode``; None where outputs depend on the whole image."""


class PixelCodec:
    """Pixel-unshuffle: the pixels of a factor × factor block become channels.

    It needs no weights and its decoder is the exact inverse of its encoder, which suits
    tests, demonstrations, and machines without weights of a network.

    >>> import torch
    >>> PixelCodec(2).encode(torch.zeros(1, 3, 4, 6)).shape
    torch.Size([1, 12, 2, 3])
    """

    def __init__(self, factor: int = 8) -> None:
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        self.factor = factor
        self.channels = 3 * factor**2

    @property
    def encoder(self) -> LocalNetwork:
        """One layer, whose outputs depend on a block of the image each."""
        layer = LocalLayer(
            apply=self.encode, channels=self.channels, kernel=self.factor, stride=self.factor
        )
        return LocalNetwork((layer,))

    @property
    def decoder(self) -> LocalNetwork:
        """One layer, each of whose inputs becomes a block of the image."""
        layer = LocalLayer(apply=self.decode, channels=3, upsampling=self.factor)
        return LocalNetwork((layer,))

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Latents with 3 * factor² channels; no value changes."""
        return functional.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images that were encoded, bit for bit."""
        return functional.pixel_shuffle(latents, self.factor)
