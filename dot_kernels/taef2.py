"""The tiny auto-encoder of FLUX.2's latents, TAEF2 (github.com/madebyollin/taesd, MIT).

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / 8, w / 8).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTH = 64
"""Channels between the layers."""


class Encoded(NamedTuple):
    """What ``encode`` answers, under the name that diffusers gives it."""

    latents: Float[Tensor, "b c y x"]


class Decoded(NamedTuple):
    """What ``decode`` answers, under the name that diffusers gives it."""

    sample: Float[Tensor, "b 3 h w"]


class Taef2(nn.Module):
    """TAEF2, with random weights until its own are loaded; for ``AutoencoderCodec``.

    Tensors of ``encoder`` and ``decoder`` are named as in the published files. As with a tiny
    auto-encoder of diffusers, images are in [-1, 1] here and in [0, 1] between the layers. Unlike
    there, three blocks at the latents' resolution take a group norm over the whole image, so
    that tiles of an image do not give what the image gives.

    Args:
        channels: of the latents; 32 in the published weights.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _convolution(3, _WIDTH),
            _Block(),
            *_halved(),
            *_halved(),
            *_halved(pools=True),
            _convolution(_WIDTH, channels),
        )
        self.decoder = nn.Sequential(
            _Bounded(),
            _convolution(channels, _WIDTH),
            nn.ReLU(),
            *_doubled(pools=True),
            *_doubled(),
            *_doubled(),
            _Block(),
            _convolution(_WIDTH, 3),
        )

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Encoded:
        """The latents of images in [-1, 1]; sides are multiples of 8."""
        return Encoded(self.encoder(images.add(1).div(2)))

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Decoded:
        """The images of latents; they may lie a little outside [-1, 1]."""
        return Decoded(self.decoder(latents).mul(2).sub(1))


class _Bounded(nn.Module):
    """Numbers brought into (-3, 3), those near 0 as they are."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(latents / 3) * 3


class _Block(nn.Module):
    """Three convolutions, added to their input.

    Args:
        pools: whether what a group norm over the whole image says is added to the input before.
    """

    def __init__(self, *, pools: bool = False) -> None:
        super().__init__()
        first, second, third = (_convolution(_WIDTH, _WIDTH) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.pool = _pool() if pools else None

    def forward(self, values: Tensor) -> Tensor:
        if self.pool is not None:
            values = values + self.pool(values)
        return torch.relu(values + self.conv(values))


def _pool() -> nn.Sequential:
    """Layers that see statistics of the whole image."""
    wide = 4 * _WIDTH
    return nn.Sequential(
        nn.Conv2d(_WIDTH, wide, 1, bias=False),
        nn.GroupNorm(4, wide),
        nn.ReLU(),
        nn.Conv2d(wide, _WIDTH, 1, bias=False),
    )


def _halved(*, pools: bool = False) -> list[nn.Module]:
    """Layers of the encoder that halve height and width."""
    shrunk = nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1, bias=False)
    return [shrunk, *(_Block(pools=pools) for _ in range(3))]


def _doubled(*, pools: bool = False) -> list[nn.Module]:
    """Layers of the decoder that double height and width."""
    after = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)
    return [*(_Block(pools=pools) for _ in range(3)), nn.Upsample(scale_factor=2), after]


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
