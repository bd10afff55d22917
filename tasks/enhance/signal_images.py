"""The images of each signal of a batch: made, seen by networks and readers, and written.

Axes: b images, h and w image height and width, c latent channels, y and x latent height and
width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dot_kernels import Codec, GreyCodec, Transported
from dot_kernels.enhancement import decode_as, encode_padded, within_range
from dot_kernels.metrics import Written
from tasks.enhance.pairs import Pair
from tasks.io.images import Form, Pixels, Raster, depth_written
from tasks.io.images.pixels import as_written, finite, levels_of, to_pixels, to_tensor
from tasks.io.images.raster import Depth
from tasks.io.images.transparency import (
    opacity,
    over_white,
    shown_cells,
    with_hidden,
    without_hidden,
)
from tasks.io.workspace import CODEC_INPUT, INPUT, Signal


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """What the pictures of a batch have in common: size, depth, channels.

    Axes: b images, h and w height and width.
    """

    rasters: Sequence[Raster]
    reference_depth: Depth | None
    form: Form
    """Of the enhanced images."""
    device: str
    alpha: Tensor | None
    """Opacity (b, h, w) in [0, 1]; None where the pictures are opaque."""

    @classmethod
    def of(cls, pairs: Sequence[Pair], form: Form, device: str) -> "Appearance":
        """Return the appearance of pictures of one kind, whose references have one depth."""
        rasters, truth = [pair.raster for pair in pairs], pairs[0].reference
        depth = None if truth is None or truth.pixels is None else truth.pixels.dtype
        return cls(rasters, depth, form, device, opacity(rasters, device))

    def images(self) -> Tensor:
        """Return the pictures as networks see them, (b, 3, h, w) in [0, 1]."""
        return to_tensor([without_hidden(raster) for raster in self.rasters], self.device)

    def of_codec(self, codec: Codec) -> Codec:
        """Return a codec that decodes grey images where the pictures are grey."""
        return GreyCodec(codec) if self.rasters[0].is_grey else codec

    def pixels(self, signal: Signal, images: Tensor) -> list[Pixels]:
        """Return the images (b, 3, h, w) of a signal as they are written: (h, w, 3) each."""
        written = to_pixels(images, self._depth(signal))
        return [with_hidden(each, own) for each, own in zip(written, self.rasters, strict=True)]

    def seen(self, signal: Signal, images: Tensor) -> Tensor:
        """Return the images (b, 3, h, w) of a signal as readers see the written ones, on white."""
        return over_white(as_written(images, self._depth(signal)), self.alpha)

    def on_white(self, references: Tensor | None) -> Tensor | None:
        """Return references (b, 3, h, w) as readers see them where the pictures are opaque."""
        return None if references is None else over_white(references, self.alpha)

    def written(self, signal: Signal) -> Written:
        """Return to which levels the images of a signal are rounded, and how much pixels count."""
        levels = levels_of(self._depth(signal))
        truth = levels if self.reference_depth is None else levels_of(self.reference_depth)
        return Written(
            levels=levels,
            reference_levels=truth,
            start_levels=levels_of(self._depth(INPUT)),
            weights=self.alpha,
        )

    def shown_cells(self, factor: int) -> Tensor | None:
        """Return which latent pixels count in statistics, (b, y, x) bool; None for all."""
        return None if self.alpha is None else shown_cells(self.alpha, factor)

    def _depth(self, signal: Signal) -> Depth:
        first = self.rasters[0]
        return first.depth if signal == INPUT else depth_written(first, self.form)


@dataclass(slots=True)
class Made:
    """What is kept of the images of a batch; grows signal by signal."""

    look: Appearance
    usable: Tensor
    """Whether all that the networks made of a picture is finite, (b,)."""
    pixels: dict[Signal, list[Pixels]] = field(default_factory=dict)
    latents: dict[Signal, Tensor] = field(default_factory=dict)
    """Of the scored signals that have some."""


def images_of(signal: Signal, transported: Transported, references: Tensor | None) -> Tensor | None:
    """Return the images of a signal, (b, 3, h, w) in [0, 1].

    Args:
        signal: the enhanced images at an alpha, or a control.
        transported: the batch of restored images.
        references: their ground truth (b, 3, h, w); None without one, and then there are no
            images of the control ``codec``, for which None is returned.
    """
    if signal.alpha is not None:
        return transported.at(signal.alpha)
    if signal == INPUT:
        return transported.images
    codec = transported.codec
    if signal == CODEC_INPUT:
        decoded = transported.codec_images
        if decoded is None:
            decoded = decode_as(transported.latents, transported.images, codec)
        return within_range(decoded)
    if references is None:
        return None
    return within_range(decode_as(encode_padded(references, codec), references, codec))


def latents_of(signal: Signal, images: Tensor, transported: Transported) -> Tensor:
    """Return the latents (b, c, y, x) of which a signal's moments are taken.

    These are the latents before decoding for the enhanced images, E(x*) for the input, and
    E(D(E(x))) for the codec. No moments are taken of the control ``codec_input``.

    Args:
        signal: the enhanced images at an alpha, ``input`` or ``codec``.
        images: of the signal, as ``images_of`` returns them.
        transported: the batch of restored images.
    """
    if signal.alpha is not None:
        mapped, plain = transported.mapped_latents, transported.latents
        return (1 - signal.alpha) * mapped + signal.alpha * plain
    if signal == INPUT:
        return transported.latents
    return encode_padded(images, transported.codec)


def all_finite(transported: Transported) -> Tensor:
    """Return for each picture whether all that the networks made of it is finite: (b,) bool."""
    made = (
        transported.latents,
        transported.mapped_latents,
        transported.codec_images,
        transported.mapped_images,
    )
    return torch.stack([finite(each) for each in made if each is not None]).all(dim=0)
