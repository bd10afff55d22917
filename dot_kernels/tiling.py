"""A codec that works on large images in tiles, so that memory follows from a tile's size.

Axes: b images, c latent channels, h and w image height and width, y and x latent height and
width. Images are float in [0, 1].

The transport of latents is not tiled: latents are small, and its noise is drawn for whole ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec, LocalCodec
from dot_kernels.local_networks import tiles_of

_LEVELS = 255.0


@dataclass(frozen=True, slots=True)
class SeamError:
    """How much the images of overlapping tiles differ where one is blended into the other.

    In 8-bit levels, of images clipped to [0, 1]. A commutative monoid under ``+``.
    """

    count: int = 0
    """Values that were compared: pixels times channels."""
    squares: float = 0.0
    """Sum of squared differences."""
    largest: float = 0.0

    @classmethod
    def of(cls, ours: Float[Tensor, "b c h w"], theirs: Float[Tensor, "b c h w"]) -> "SeamError":
        """The error of two images of the same pixels."""
        difference = (ours.clamp(0, 1) - theirs.clamp(0, 1)) * _LEVELS
        squares = float(difference.square().sum(dtype=torch.float64))
        return cls(difference.numel(), squares, float(difference.abs().max()))

    @property
    def rms(self) -> float:
        """Root mean square of the differences; 0 where nothing was compared."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    def __add__(self, other: "SeamError") -> "SeamError":
        """The error of both together."""
        return SeamError(
            self.count + other.count,
            self.squares + other.squares,
            max(self.largest, other.largest),
        )


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

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The latents of images in [0, 1]."""
        if images.shape[2] * images.shape[3] <= self.tile**2:
            return self.codec.encode(images)
        if isinstance(self.codec, LocalCodec) and (encoder := self.codec.encoder) is not None:
            return encoder.in_tiles(images, self.tile**2)
        blend = partial(blended, self.codec.encode, rates=(self.factor, 1), plan=self._plan)
        return torch.cat([blend(image)[0] for image in images[:, None]])

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images of latents; they may lie a little outside [0, 1]."""
        if latents.shape[2] * latents.shape[3] * self.factor**2 <= self.tile**2:
            return self.codec.decode(latents)
        if isinstance(self.codec, LocalCodec) and (decoder := self.codec.decoder) is not None:
            return decoder.in_tiles(latents, self.tile**2)
        made = []
        for each in latents[:, None]:
            image, seams = blended(self.codec.decode, each, (1, self.factor), self._plan)
            self.hear(seams)
            made.append(image)
        return torch.cat(made)

    def _plan(self, height: int, width: int) -> "TilePlan":
        """Where overlapping tiles lie, for latents of this size."""
        return TilePlan.of(height, width, self.tile // self.factor)


def tiled_if_exact(codec: Codec, tile: int) -> Codec:
    """The codec in tiles if these give what the whole image gives; else the codec as it is.

    Args:
        codec: any.
        tile: see ``TiledCodec``.
    """
    if isinstance(codec, LocalCodec) and codec.encoder is not None and codec.decoder is not None:
        return TiledCodec(codec, tile)
    return codec


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Rows and columns of tiles, in latent pixels, and how far neighbours overlap."""

    rows: Sequence[range]
    columns: Sequence[range]
    overlap: int

    @classmethod
    def of(cls, height: int, width: int, side: int, least: int = 1) -> "TilePlan":
        """Tiles of about equal size that overlap by a quarter of their side.

        Args:
            height: of what is cut, in latent pixels.
            width: the same.
            side: of a square with as many latent pixels as a tile has at most.
            least: latent pixels that a tile has along each side, at least, where there are as
                many.
        """
        overlap = max(side // 8, 1) * 2
        core = max(side - overlap, 2 * overlap, 2 * least)
        tiles = list(tiles_of(height, width, core**2))
        rows = list(dict.fromkeys(down for down, _ in tiles))
        columns = list(dict.fromkeys(across for _, across in tiles))
        return cls(rows, columns, overlap)


def blended(
    network: Callable[[Tensor], Tensor],
    tensor: Float[Tensor, "1 c h w"],
    rates: tuple[int, int],
    plan: Callable[[int, int], TilePlan],
) -> tuple[Float[Tensor, "1 k y x"], SeamError]:
    """The output of a network in blended tiles, and how much these differ where they overlap.

    Args:
        network: encodes or decodes a tile.
        tensor: an image or its latents.
        rates: pixels per latent pixel of the network's input, and of its output.
        plan: of the tiles, for height and width of the latents.
    """
    before, after = rates
    height, width = (side // before for side in tensor.shape[2:])
    tiles = plan(height, width)
    shared = tiles.overlap * after
    downs, acrosses = _widened(tiles.rows, tiles.overlap), _widened(tiles.columns, tiles.overlap)
    whole, seams, above = torch.empty(0), SeamError(), list[Tensor]()
    for row, down in enumerate(downs):
        below, left = list[Tensor](), None
        for column, across in enumerate(acrosses):
            made = network(tensor[_scaled(down, across, before)])
            if whole.numel() == 0:
                whole = made.new_zeros(1, made.shape[1], height * after, width * after)
            if row > 0:
                seams += SeamError.of(above[column], made[:, :, :shared])
            if left is not None:
                seams += SeamError.of(left, made[..., :shared])
            below.append(made[:, :, -shared:].clone())
            left = made[..., -shared:].clone()
            vertical = _ramp(row, len(downs), made.shape[2], shared).to(made)
            horizontal = _ramp(column, len(acrosses), made.shape[3], shared).to(made)
            whole[_scaled(down, across, after)] += made * vertical[:, None] * horizontal
        above = below
    return whole, seams


def _widened(parts: Sequence[range], overlap: int) -> list[range]:
    """The parts of an axis, each as much longer at its inner ends as neighbours overlap."""
    reach, last = overlap // 2, len(parts) - 1
    return [
        range(part.start - reach * (place > 0), part.stop + reach * (place < last))
        for place, part in enumerate(parts)
    ]


def _ramp(place: int, count: int, length: int, shared: int) -> Float[Tensor, "length"]:
    """Weights of a tile along an axis, which add to 1 with those of its neighbours."""
    weights = torch.ones(length)
    rising = (torch.arange(shared) + 0.5) / shared
    if place > 0:
        weights[:shared] = rising
    if place < count - 1:
        weights[-shared:] = 1 - rising
    return weights


def _scaled(down: range, across: range, rate: int) -> tuple[slice, slice, slice, slice]:
    """What selects rows and columns of latents in tensors of ``rate`` pixels for each of theirs."""
    rows, columns = (slice(side.start * rate, side.stop * rate) for side in (down, across))
    return slice(None), slice(None), rows, columns
