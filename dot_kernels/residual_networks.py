"""The two networks of residual-conditioned optimal transport: the map and the potential.

They are small convolutional networks of our own, in the manner of those of Tang et al. (ICML
2024): a U-net with channel attention whose features the residual of a first pass modulates.

Axes: b images, c channels, h and w height and width. Images are float, on the [0, 1] scale.
"""

import math
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dot_kernels.padding import pad_by_reflection

Passes = Literal[1, 2]
"""How often the network runs: without a condition only, or once more under its own residual."""

_LEVELS = 3
"""Resolutions of the map and of its guide; each has half the sides of the one before."""

_BLOCKS = 1
"""Residual blocks of a level, on the way down and on the way up."""


class ResidualMap(nn.Module):
    """The map T from degraded to restored images.

    With two passes, G runs without a condition, and what it takes away, r = y − G(y), says to the
    second what kind of degradation this is, and where: T(y) = G(y | E(r)) (Tang et al. 2024).
    The encoder E of residuals gives a factor and a summand for each value of the first
    features of every level. Gradients go through both passes. With one pass, T(y) = G(y).

    Fresh networks are the identity: the last layer begins at 0, as do factors and summands. The
    other weights are drawn by torch's default generator, as in every module of torch, until
    ``draw_weights`` draws them by another. Channel attention takes means over the whole image, so
    that tiles of an image do not give quite what the image gives.

    Args:
        width: channels at the first level, at least 1; those below have 2 and 4 times as many.
        passes: 1 or 2.

    Raises:
        ValueError: the width is below 1, or the passes are neither 1 nor 2.
    """

    def __init__(self, *, width: int, passes: Passes = 2) -> None:
        super().__init__()
        _require_width(width)
        if passes not in get_args(Passes):
            raise ValueError(f"passes must be 1 or 2, got {passes!r}")
        self.network = _UNet(width)
        self.guide = _Guide(width) if passes == 2 else None

    def forward(self, degraded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Restored images, not clamped.

        Args:
            degraded: three channels, of any size from one pixel on. What is no multiple of 4 is
                continued by reflection, and the output cut.

        Raises:
            ValueError: the images do not have three channels.
        """
        _require_colour(degraded)
        height, width = degraded.shape[2:]
        multiple = 2 ** (_LEVELS - 1)
        sides = (-(-side // multiple) * multiple for side in (height, width))
        images = pad_by_reflection(degraded, *sides)
        taken = self.network(images, None)
        if self.guide is not None:
            taken = self.network(images, self.guide(taken))
        restored: Tensor = images - taken
        return restored[:, :, :height, :width]


class Potential(nn.Module):
    """The potential φ: one number an image, the mean of those of its places.

    Each place sees a neighbourhood of 23 × 23 pixels. The activations are smooth, as what drives
    the map is the gradient of φ. A fresh potential is 0, as its last layer is, so that the first
    steps of the map do not follow what nobody has trained. Weights are drawn as in the map.

    Args:
        width: channels of the first layer, at least 1; the last have 4 times as many.

    Raises:
        ValueError: the width is below 1.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        _require_width(width)
        widths = [width, 2 * width, 4 * width]
        layers: list[nn.Module] = [_convolution(3, width), nn.SiLU()]
        for narrow, wide in pairwise(widths):
            layers += [_convolution(narrow, narrow), nn.SiLU(), _halved(narrow, wide), nn.SiLU()]
        layers += [_convolution(widths[-1], widths[-1]), nn.SiLU(), _Silent(widths[-1], 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        """The potential of images of three channels and any size from one pixel on.

        Raises:
            ValueError: the images do not have three channels.
        """
        _require_colour(images)
        found: Tensor = self.layers(2 * images - 1)
        return found.mean(dim=(1, 2, 3))


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the initial weights of a map or a potential by a generator, in place.

    Weights are normal with the variance of He et al. 2015, one over half of the inputs of a
    value; biases, and layers that begin at 0, are 0. What was there before is lost.

    Args:
        network: on the CPU or another device.
        generator: on the CPU, so that the weights are the same on every device.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            for values in module.parameters():
                nn.init.zeros_(values)
            if not isinstance(module, _Silent):
                weight = module.weight
                spread = math.sqrt(2 / weight[0].numel())
                with torch.no_grad():
                    weight.copy_(spread * torch.randn(weight.shape, generator=generator))


class _UNet(nn.Module):
    """What G takes away from images, y − G(y), at sides that are multiples of 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = _widths(width)
        self.first = _convolution(3, width)
        self.down = nn.ModuleList(_blocks(each) for each in widths)
        self.halved = nn.ModuleList(map(_halved, widths, widths[1:]))
        self.doubled = nn.ModuleList(map(_doubled, widths[1:], widths))
        self.up = nn.ModuleList(_blocks(each) for each in widths[:-1])
        self.last = _Silent(width, 3, 3, padding=1)

    def forward(self, images: Tensor, condition: list[Tensor] | None) -> Tensor:
        values, kept = self.first(2 * images - 1), []
        for level, blocks in enumerate(self.down):
            if level:
                values = self.halved[level - 1](values)
            if condition is not None:
                factor, summand = condition[level].chunk(2, dim=1)
                values = values * (1 + factor) + summand
            values = blocks(values)
            kept.append(values)
        for level in reversed(range(_LEVELS - 1)):
            values = self.up[level](kept[level] + self.doubled[level](values))
        taken: Tensor = self.last(values)
        return taken


class _Guide(nn.Module):
    """The encoder E: what a residual says to every level, factors before summands."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = _widths(width)
        self.first = _convolution(3, width)
        self.halved = nn.ModuleList(map(_halved, widths, widths[1:]))
        self.said = nn.ModuleList(_Silent(each, 2 * each, 1) for each in widths)

    def forward(self, residual: Tensor) -> list[Tensor]:
        values = [torch.nn.functional.silu(self.first(2 * residual))]
        for halved in self.halved:
            values.append(torch.nn.functional.silu(halved(values[-1])))
        return [said(each) for said, each in zip(self.said, values, strict=True)]


class _Block(nn.Module):
    """Two convolutions, weighted channel by channel by what their means say, and the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(width // 4, 1)
        self.change = nn.Sequential(
            _convolution(width, width), nn.SiLU(), _convolution(width, width)
        )
        self.attention = nn.Sequential(
            nn.Conv2d(width, narrow, 1), nn.SiLU(), nn.Conv2d(narrow, width, 1), nn.Sigmoid()
        )

    def forward(self, values: Tensor) -> Tensor:
        change: Tensor = self.change(values)
        weights: Tensor = self.attention(change.mean(dim=(2, 3), keepdim=True))
        return values + weights * change


class _Silent(nn.Conv2d):
    """A convolution that gives 0 until it is trained."""

    def reset_parameters(self) -> None:
        for values in self.parameters():
            nn.init.zeros_(values)


def _widths(width: int) -> list[int]:
    """Channels of the levels."""
    return [width * 2**level for level in range(_LEVELS)]


def _blocks(width: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(_BLOCKS)))


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _halved(before: int, after: int) -> nn.Conv2d:
    """A convolution to half the sides, rounded up."""
    return nn.Conv2d(before, after, 3, stride=2, padding=1)


def _doubled(before: int, after: int) -> nn.Sequential:
    """A convolution to twice the sides."""
    return nn.Sequential(nn.Conv2d(before, after, 1), nn.Upsample(scale_factor=2))


def _require_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")


def _require_colour(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must have the shape (b, 3, h, w), got {tuple(images.shape)}; give grey ones "
            "three equal channels"
        )
