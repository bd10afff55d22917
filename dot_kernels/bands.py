"""Large images that come band by band: rows from top to bottom, never all of them at once.

Axes: c channels, h and w height and width of an image, x width of its latents; a band has any rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.blending import whole
from dot_kernels.codecs import Codec
from dot_kernels.padding import mirrored, pad_by_reflection


class BandedCodec(Codec, Protocol):
    """A codec that takes and gives images in bands, as ``TiledCodec`` does."""

    @property
    def tile(self) -> int:
        """See ``TiledCodec``."""

    def encode_bands(
        self, bands: Iterable[Float[Tensor, "1 3 _ w"]], height: int, width: int
    ) -> Iterator[Float[Tensor, "1 c _ x"]]:
        """See ``TiledCodec``."""

    def decode_bands(
        self, bands: Iterable[Float[Tensor, "1 c _ x"]], height: int, width: int
    ) -> Iterator[Float[Tensor, "1 3 _ w"]]:
        """See ``TiledCodec``."""


_TILES_IN_A_BAND = 16
_TILES_OF_A_LARGE_IMAGE = 8


def is_large(height: int, width: int, tile: int) -> bool:
    """Whether an image is processed in bands: it has more pixels than eight tiles.

    One that is lower or narrower than the side of half a tile is not: a band has whole rows.

    Args:
        height: of the image.
        width: of the image.
        tile: see ``TiledCodec``.
    """
    is_narrow = min(height, width) < tile // 2
    return height * width > _TILES_OF_A_LARGE_IMAGE * tile**2 and not is_narrow


def band_rows(width: int, codec: BandedCodec) -> int:
    """Rows of a band of an image of this width: sixteen tiles' pixels, in whole latent rows."""
    rows = _TILES_IN_A_BAND * codec.tile**2 // width
    return max(rows // codec.factor, 1) * codec.factor


def encode_in_bands(
    bands: Iterable[Float[Tensor, "1 3 _ w"]], height: int, width: int, codec: BandedCodec
) -> Float[Tensor, "1 c y x"]:
    """The latents of an image in [0, 1] that comes band by band: those of ``encode_padded``.

    Args:
        bands: of the image.
        height: of the image.
        width: of the image.
        codec: in tiles.
    """
    down, across = (-(-side // codec.factor) * codec.factor for side in (height, width))
    return whole(codec.encode_bands(_padded(bands, height, down, across), down, across))


def decode_in_bands(
    latents: Float[Tensor, "1 c y x"],
    height: int,
    width: int,
    codec: BandedCodec,
    *,
    is_grey: bool = False,
) -> Iterator[Float[Tensor, "1 3 _ w"]]:
    """Decoded latents band by band, cropped to the size of an image: those of ``decode_as``.

    Bands of latents of one size, by one codec, have equal heights; see ``abreast`` for several.
    Where ``is_grey``, each pixel is the mean of its channels, as ``GreyCodec`` has it.
    """
    rows = band_rows(latents.shape[3] * codec.factor, codec) // codec.factor
    top = 0
    for band in codec.decode_bands(
        torch.split(latents, rows, dim=2), latents.shape[2], latents.shape[3]
    ):
        if top < height:
            shown = band[:, :, : height - top, :width]
            yield shown.mean(dim=1, keepdim=True).expand_as(shown) if is_grey else shown
        top += band.shape[2]


def abreast(
    images: Sequence[Iterator[Float[Tensor, "1 3 _ w"]]],
) -> Iterator[tuple[Float[Tensor, "1 3 r w"], ...]]:
    """The same rows of several images, from top to bottom, whatever the heights of their bands.

    A decoder whose activations are moved by patches reaches farther than one that is not, so its
    bands have fewer rows.
    """
    held = [next(bands, None) for bands in images]
    while present := [band for band in held if band is not None]:
        rows = min(band.shape[2] for band in present)
        yield tuple(band[:, :, :rows] for band in present)
        held = [
            band[:, :, rows:] if band.shape[2] > rows else next(bands, None)
            for band, bands in zip(present, images, strict=True)
        ]


def _padded(
    bands: Iterable[Float[Tensor, "1 3 _ w"]], height: int, down: int, across: int
) -> Iterator[Float[Tensor, "1 3 _ x"]]:
    """Bands extended at the right and, after the last, at the bottom, as by ``pad_by_reflection``.

    Args:
        bands: of an image.
        height: of the image, at least two rows more than are added.
        down: wanted number of rows.
        across: wanted number of columns.
    """
    last = torch.empty(0)
    for band in bands:
        wide = pad_by_reflection(band, band.shape[2], across)
        kept = down - height + 1
        last = wide if last.numel() == 0 else torch.cat([last[:, :, -kept:], wide[:, :, -kept:]], 2)
        last = last[:, :, -kept:].clone()
        yield wide
    if down > height:
        places = mirrored(height, down)[height:] - (height - last.shape[2])
        yield last[:, :, places.to(last.device)]
