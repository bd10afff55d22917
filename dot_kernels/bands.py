"""Large images that come band by band: rows from top to bottom, never all of them at once.

Axes: c channels, h and w height and width of an image, x width of its latents; a band has any rows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.blending import Rows, whole
from dot_kernels.codecs import Codec
from dot_kernels.dials import LowBand, with_low_band
from dot_kernels.enhancement import Transported, require_finite
from dot_kernels.latent_transport import transport_latents
from dot_kernels.levels import Operator, latent_part, with_levels
from dot_kernels.padding import mirrored, pad_by_reflection
from dot_kernels.patches import Fold


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
    latents: Float[Tensor, "1 c y x"], height: int, width: int, codec: BandedCodec
) -> Iterator[Float[Tensor, "1 3 _ w"]]:
    """Decoded latents band by band, cropped to the size of an image: those of ``decode_as``.

    Bands of latents of one size, by one codec, have equal heights; see ``abreast`` for several.
    """
    rows = band_rows(latents.shape[3] * codec.factor, codec) // codec.factor
    top = 0
    for band in codec.decode_bands(
        torch.split(latents, rows, dim=2), latents.shape[2], latents.shape[3]
    ):
        if top < height:
            yield band[:, :, : height - top, :width]
        top += band.shape[2]


def enhance_in_bands(
    image: Callable[[], Iterable[Float[Tensor, "1 3 _ w"]]],
    size: tuple[int, int],
    codec: BandedCodec,
    operator: Operator,
    alpha: float,
    *,
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
    low_band: LowBand | None = None,
) -> Iterator[Float[Tensor, "1 3 _ w"]]:
    """An enhanced image band by band: what ``enhance`` gives by default for one alpha.

    Args:
        image: gives the restored image in [0, 1] band by band; it is called twice.
        size: its height and width.
        codec: in tiles.
        operator: see ``enhance``.
        alpha: see ``enhance``.
        fold: see ``enhance``.
        generators: one, for a stochastic operator.
        low_band: what low frequencies do; None where they move as high ones do.

    Raises:
        ValueError: an enhanced band is not finite.
    """
    latents = encode_in_bands(image(), *size, codec)
    mapped = transport_latents(latents, latent_part(operator), fold=fold, generators=generators)
    pairs = (latents, codec), (mapped, with_levels(codec, operator, fold=fold))
    decoded = abreast([decode_in_bands(each, *size, by) for each, by in pairs])
    rows = Rows(iter(image()))
    top = 0
    for (plain, moved), low in _with_low(decoded, size[0], low_band):
        images = rows.of(range(top, top + plain.shape[2]))
        top += plain.shape[2]
        band = Transported(images, latents, mapped, plain, moved, codec)
        yield require_finite(with_low_band(band, low_band, low).at(alpha))


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


def _with_low(
    decoded: Iterable[Sequence[Float[Tensor, "1 3 _ w"]]], height: int, band: LowBand | None
) -> Iterator[tuple[Sequence[Float[Tensor, "1 3 r w"]], Float[Tensor, "1 3 r w"] | None]]:
    """Bands of D(E x) and D(T(E x)), and the low band of their difference if it is wanted."""
    if band is None:
        return ((pair, None) for pair in decoded)
    directions = ((moved - plain, plain, moved) for plain, moved in decoded)
    return ((pair, low) for low, _, *pair in band.low_in_bands(directions, height))


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
