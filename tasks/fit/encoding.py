"""Encoding: decoded images go in, the moments of patches of latents or activations come out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from dot_kernels import Codec, GaussianMoments, TiledCodec, TransportOperator, patch_moments
from dot_kernels.bands import band_rows, encode_in_bands, is_large
from dot_kernels.enhancement import encode_padded, whole_cells
from dot_kernels.latent_transport import transport_latents
from dot_kernels.level_fitting import level_moments
from dot_kernels.levels import Operator, latent_part, scale_of, stages_with, with_levels
from dot_kernels.padding import pad_by_reflection
from dot_kernels.patches import Fold, patch_size_of
from dot_kernels.rounds import generators_of_round
from tasks.fit.earlier_rounds.images import EarlierRounds
from tasks.io.draws import generator_of
from tasks.io.images import Pixels
from tasks.io.images.pixels import bands_of, finite, to_tensor
from tasks.io.images.transparency import opacity, shown_cells, without_hidden
from tasks.io.machine.scratch import let_go
from tasks.io.networks.batches import Batches, no_room
from tasks.io.networks.codecs import Precision
from tasks.io.shards import Member
from tasks.io.shards.loader import Picture, equal_sizes
from tasks.jobs.stopwatch import Stopwatch, TimedCodec

NOT_FINITE = "latents are not finite: use float32, or check the codec"


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Where in the decoder the activations of encoded images are met, and after which maps."""

    level: int
    operator: Operator | None
    """Whose maps come before; None for the decoder as it is."""
    fold: Fold
    seed: int
    """Of the noise of a stochastic operator."""
    number: int = 0
    """Of the round whose operator it is."""

    def moments(
        self, latents: Tensor, key: str, codec: TimedCodec, patch_size: int, alpha: Tensor | None
    ) -> GaussianMoments | str:
        """Return the moments of an image's activations, or why it has none.

        Latents smaller than a patch are mirrored before they are moved, much as the image is when
        it is enhanced, and cut back; of an image without a whole cell there is nothing.

        Args:
            latents: (1, c, y, x), of cells that lie within the image.
            key: of the image.
            codec: that encoded it.
            patch_size: height and width of a patch, in pixels of the level.
            alpha: opacity of the image, (1, h, w); None if it is opaque.
        """
        if not latents.numel():
            return GaussianMoments.zero(codec.stages[self.level].channels * patch_size**2)
        moved = codec
        if self.operator is not None:
            moved = with_levels(codec, self.operator, fold=self.fold)
            latents = self._moved(latents, latent_part(self.operator), key)
        cell = max(codec.factor // scale_of(codec.stages, self.level), 1)
        shown = None
        if alpha is not None:
            height, width = (side * codec.factor for side in latents.shape[2:])
            shown = shown_cells(alpha[:, :height, :width], cell)
        try:
            (found,) = level_moments(latents, moved, self.level, patch_size, shown=shown)
        except ValueError:  # the level is there, as its scale was found
            return NOT_FINITE
        return found

    def _moved(self, latents: Tensor, operator: TransportOperator, key: str) -> Tensor:
        """Return the latents of an image after the map of latents, of the size that they had."""
        height, width = latents.shape[2:]
        least = patch_size_of(operator, latents.shape[1])
        whole = pad_by_reflection(latents, max(height, least), max(width, least))
        own = [generator_of("transport", self.seed, key)] if operator.is_stochastic else []
        draws = generators_of_round(own, self.number)
        mapped = transport_latents(whole, operator, fold=self.fold, generators=draws)
        return mapped[:, :, :height, :width]


class Measured(NamedTuple):
    """What is measured of an image."""

    moments: GaussianMoments | str
    """Of its patches, or why it has none."""
    latents: Tensor | None
    """Of an opaque image, (1, c, y, x), of cells that lie within it."""


@dataclass
class Encoder:
    """Encodes images in batches that fit into memory; loads the codec when it is first needed.

    An image whose latents or activations are not finite in a lower precision goes through the
    codec again in float32.
    """

    load: Callable[[Precision], Codec]
    """Returns the codec in a precision."""
    tile: int
    """Side of a tile in pixels, for codecs that give the same in tiles."""
    precision: Precision
    batch: int
    """Images that are encoded together at most."""
    batches: Batches
    """Runs the codec on batches that fit into memory."""
    watch: Stopwatch
    patch_size: int
    """Height and width of a patch, in pixels of the latents or of the level."""
    decoder: Decoder | None = None
    """Where activations are met whose moments are wanted; None for those of latents."""
    rounds: EarlierRounds | None = None
    """What images go through before they are encoded; None for nothing."""
    again: int = field(default=0, init=False)
    """Images that were encoded again in float32."""

    @cached_property
    def codec(self) -> TimedCodec:
        """The codec in the precision that was asked for."""
        return self._loaded(self.precision)

    @property
    def dimension(self) -> int:
        """Features of a patch.

        Raises:
            ValueError: the codec has no such level.
        """
        channels = self.codec.channels
        if self.decoder is not None:
            channels = stages_with(self.codec, [self.decoder.level])[self.decoder.level].channels
        return channels * self.patch_size**2

    @property
    def remarks(self) -> dict[str, int]:
        """What was out of the ordinary, for the record; see ``Outcome``."""
        return self.batches.remarks | ({"again_in_float32": self.again} if self.again else {})

    def measure(self, pictures: Sequence[Picture]) -> Iterator[Measured]:
        """Yield for each image what is measured of it.

        Args:
            pictures: of any sizes, in any order, which is kept.
        """
        latents: dict[str, Tensor | str] = {p.member.key: p.reason or "" for p in pictures}
        for group in equal_sizes(pictures, self.batch):
            latents |= self._encode(group, self.codec)
        for picture in pictures:
            own = latents[picture.member.key]
            found = self._measure(picture, own, self.codec)
            if found is NOT_FINITE and self.precision != "float32":
                self.again += 1
                found = self._in_float32(picture)
            is_opaque = picture.raster is not None and opacity([picture.raster]) is None
            yield Measured(found, own if is_opaque and isinstance(own, Tensor) else None)

    def measure_latents(self, member: Member, latents: Tensor) -> GaussianMoments | str:
        """Return the moments of an opaque image whose latents are known, or why it has none."""
        placed = latents.to(self.batches.device)
        return self._measure(Picture(member, None, None), placed, self.codec)

    def _in_float32(self, picture: Picture) -> GaussianMoments | str:
        """Return the moments of an image that a lower precision cannot encode or decode."""
        codec = self._loaded("float32")
        return self._measure(picture, self._encode([picture], codec)[picture.member.key], codec)

    def _loaded(self, precision: Precision) -> TimedCodec:
        with self.watch.lap("load networks"):
            return TimedCodec(TiledCodec(self.load(precision), self.tile), self.watch)

    def _encode(self, group: Sequence[Picture], codec: TimedCodec) -> dict[str, Tensor | str]:
        """Return the latents of images of one size by key, or why an image has none.

        Latents are (1, c, y, x) of those cells that lie within the image.
        """

        def encode(part: Sequence[Picture]) -> list[Tensor | str]:
            pixels = [without_hidden(p.raster) for p in part if p.raster is not None]
            if is_large(part[0].member.height, part[0].member.width, codec.tile):
                both = zip(part, pixels, strict=True)
                return [self._encode_large(picture, each, codec) for picture, each in both]
            with self.watch.lap("read"):
                images = to_tensor(pixels, self.batches.device)
            if self.rounds is not None:
                images = self.rounds.images(images, part, codec)
            latents = whole_cells(encode_padded(images, codec), images.shape[2:], codec.factor)
            usable = finite(latents).tolist()
            split = zip(torch.split(latents, 1), usable, strict=True)
            return [one if is_usable else NOT_FINITE for one, is_usable in split]

        encoded = self.batches.run(encode, group, _size(group[0]))
        return {
            picture.member.key: no_room(picture) if latents is None else latents
            for picture, latents in zip(group, encoded, strict=True)
        }

    def _encode_large(self, picture: Picture, pixels: Pixels, codec: TimedCodec) -> Tensor | str:
        """Return the latents of a large image, which goes through the network in bands."""
        size, rows = (pixels.shape[0], pixels.shape[1]), band_rows(pixels.shape[1], codec)

        def bands() -> Iterator[Tensor]:
            return self.watch.each("read", bands_of(pixels, rows, self.batches.device))

        with torch.inference_mode():
            made = bands if self.rounds is None else self.rounds.bands(bands, size, picture, codec)
            latents = whole_cells(encode_in_bands(made(), *size, codec), size, codec.factor)
            let_go(pixels)
            return latents if bool(finite(latents)) else NOT_FINITE

    def _measure(
        self, picture: Picture, latents: Tensor | str, codec: TimedCodec
    ) -> GaussianMoments | str:
        """Return the moments of one image, or why it has none."""
        if isinstance(latents, str):
            return latents
        raster = picture.raster
        alpha = None if raster is None else opacity([raster], str(latents.device))

        def moments(each: Sequence[Tensor]) -> list[GaussianMoments | str]:
            return [self._moments(one, picture.member.key, alpha, codec) for one in each]

        (found,) = self.batches.run(moments, [latents], _size(picture))
        return no_room(picture) if found is None else found

    def _moments(
        self, latents: Tensor, key: str, alpha: Tensor | None, codec: TimedCodec
    ) -> GaussianMoments | str:
        """Return the moments of one image; see ``Decoder.moments`` for the arguments."""
        if self.decoder is not None:
            return self.decoder.moments(latents, key, codec, self.patch_size, alpha)
        shown = None if alpha is None else shown_cells(alpha, codec.factor)
        return patch_moments(latents, self.patch_size, shown)


def _size(picture: Picture) -> int:
    return picture.member.width * picture.member.height
