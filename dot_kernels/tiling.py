"""A codec that works on large images in tiles, so that memory follows from a tile's size.

Axes: b images, c latent channels, h and w image height and width, y and x latent height and
width. Images are float in [0, 1].

The transport of latents is not tiled: latents are small, and its noise is drawn for whole ones.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.blending import SeamError, TilePlan, blended, whole
from dot_kernels.codecs import Codec, LocalCodec
from dot_kernels.staged_codecs import require_stages, stages_of
from dot_kernels.stages import Stage, as_local, through


def _unheard(_: SeamError) -> None:
    """Nobody asks for the error at seams."""


@dataclass(frozen=True, slots=True)
class TiledCodec:
    """A codec that encodes and decodes images larger than a tile in tiles, one after the other.

    Chains of local layers (``LocalCodec``) give the same latents and images as in one piece: in
    float32 on the CPU the same bits, elsewhere up to rounding. Other codecs, as an
    ``AutoencoderKL``, encode and decode tiles that overlap by a quarter of their side, in which
    one is blended linearly into the other. They see a tile in place of the image, so the result
    differs from that of one piece, and the images of two tiles from each other.
    """

    codec: Codec
    tile: int
    """Side of a square with as many pixels as a tile has at most. Images of no more pixels are
    not cut. The pixels around a tile that a chain of local layers needs come on top."""
    hear: Callable[[SeamError], None] = _unheard
    """Is told the error at the seams of every image that was decoded with blending."""

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel, along height and width."""
        return self.codec.factor

    @property
    def channels(self) -> int:
        """Latent channels."""
        return self.codec.channels

    @property
    def is_exact(self) -> bool:
        """Whether tiles give what the whole image gives."""
        codec = self.codec
        return isinstance(codec, LocalCodec) and None not in (codec.encoder, codec.decoder)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the codec, as it decodes a tile."""
        return stages_of(self.codec)

    def with_stages(self, stages: Sequence[Stage]) -> "TiledCodec":
        """The same in tiles of the codec with these stages."""
        return replace(self, codec=require_stages(self.codec).with_stages(stages))

    @torch.inference_mode()
    def activations(
        self, latents: Float[Tensor, "b c y x"], count: int
    ) -> Iterator[Float[Tensor, "b k _ x2"]]:
        """What the first ``count`` stages make of latents, in bands of rows from top to bottom.

        As ``decode`` does it: in tiles where the image is larger than one, which are exact for
        chains of local layers and blended for others.
        """
        height, width = latents.shape[2:]
        if height * width * self.factor**2 <= self.tile**2:
            yield from require_stages(self.codec).activations(latents, count)
            return
        for bands in zip(*(self._bands(z, count) for z in latents[:, None]), strict=True):
            yield torch.cat(bands)

    def _bands(
        self, latents: Float[Tensor, "1 c y x"], count: int
    ) -> Iterator[Float[Tensor, "1 k _ x2"]]:
        """The activations of one image of more than one tile."""
        stages, (height, width) = self.stages[:count], latents.shape[2:]
        of_a_tile = self.tile**2 // (width * self.factor**2)  # whole rows with its pixels
        rows = torch.split(latents, max(of_a_tile, 1), dim=2)
        if (chain := as_local(stages)) is not None:
            yield from chain.in_bands(rows, height, width, self.tile**2)
            return
        plan = TilePlan.of(height, width, self.tile // self.factor)
        rates = (1, prod(stage.upsampling for stage in stages))
        for band, _ in blended(lambda tile: through(stages, tile), rows, rates, plan):
            yield band

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The latents of images in [0, 1]."""
        height, width = images.shape[2:]
        if height * width <= self.tile**2:
            return self.codec.encode(images)
        return torch.cat([whole(self.encode_bands([x], height, width)) for x in images[:, None]])

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images of latents; they may lie a little outside [0, 1]."""
        height, width = latents.shape[2:]
        if height * width * self.factor**2 <= self.tile**2:
            return self.codec.decode(latents)
        return torch.cat([whole(self.decode_bands([z], height, width)) for z in latents[:, None]])

    def encode_bands(
        self, bands: Iterable[Float[Tensor, "1 3 _ w"]], height: int, width: int
    ) -> Iterator[Float[Tensor, "1 c _ x"]]:
        """The latents of an image of more than one tile that comes band by band.

        Args:
            bands: rows of the image from top to bottom.
            height: of the image, a multiple of the factor.
            width: of the image, a multiple of the factor.

        Yields:
            Rows of the latents from top to bottom, as many as the bands so far determine.
        """
        if isinstance(self.codec, LocalCodec) and (encoder := self.codec.encoder) is not None:
            yield from encoder.in_bands(bands, height, width, self.tile**2)
            return
        plan = TilePlan.of(height // self.factor, width // self.factor, self.tile // self.factor)
        for band, _ in blended(self.codec.encode, bands, (self.factor, 1), plan):
            yield band

    def decode_bands(
        self, bands: Iterable[Float[Tensor, "1 c _ x"]], height: int, width: int
    ) -> Iterator[Float[Tensor, "1 3 _ w"]]:
        """The image of latents of more than one tile that come band by band.

        Args:
            bands: rows of the latents from top to bottom.
            height: of the latents.
            width: of the latents.

        Yields:
            Rows of the image from top to bottom, as many as the bands so far determine.
        """
        if isinstance(self.codec, LocalCodec) and (decoder := self.codec.decoder) is not None:
            yield from decoder.in_bands(bands, height, width, self.tile**2)
            return
        seams, plan = SeamError(), TilePlan.of(height, width, self.tile // self.factor)
        for band, error in blended(self.codec.decode, bands, (1, self.factor), plan):
            seams += error
            yield band
        self.hear(seams)
