"""Several rounds over large images that come band by band.

Axes: c latent channels, h and w height and width of an image, y and x those of its latents; a band
has any rows. Only latents are held of a whole image. What a round begins with is made again, band
by band, whenever it is read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.bands import BandedCodec, abreast, decode_in_bands, encode_in_bands
from dot_kernels.blending import Rows
from dot_kernels.dials import with_low_band
from dot_kernels.enhancement import Transported, require_finite
from dot_kernels.latent_transport import transport_latents
from dot_kernels.levels import Operator, latent_part, with_levels
from dot_kernels.rounds import (
    AnyOperator,
    Between,
    RepeatedOperator,
    after_last,
    generators_of_round,
    rounds_of,
)

Bands = Callable[[], Iterable[Float[Tensor, "1 3 _ w"]]]
"""Gives an image in [0, 1] band by band, each time that it is called."""


@dataclass(frozen=True, slots=True, eq=False)
class BandedRound:
    """One round over a large image, whose bands follow from its latents."""

    image: Bands
    """What the round begins with, x_k."""
    size: tuple[int, int]
    """Height and width of the image."""
    latents: Float[Tensor, "1 c y x"]
    """E x_k."""
    mapped: Float[Tensor, "1 c y x"]
    """T(E x_k)."""
    codec: BandedCodec
    operator: Operator
    options: Between
    is_grey: bool
    """Whether what is decoded is made grey, as ``GreyCodec`` does."""

    @classmethod
    def of(
        cls,
        image: Bands,
        size: tuple[int, int],
        codec: BandedCodec,
        operator: Operator,
        options: Between,
        generators: Sequence[torch.Generator] = (),
        *,
        is_grey: bool = False,
    ) -> "BandedRound":
        """The round of an operator, of which the image is encoded and its latents are moved.

        Args:
            image: what it begins with.
            size: height and width of the image.
            codec: in tiles.
            operator: of this round.
            options: how its images are made.
            generators: one, for a stochastic operator.
            is_grey: whether what is decoded is made grey.
        """
        latents = encode_in_bands(image(), *size, codec)
        mapped = transport_latents(
            latents, latent_part(operator), fold=options.fold, generators=generators
        )
        return cls(image, size, latents, mapped, codec, operator, options, is_grey)

    def at_zero(self) -> Iterator[Float[Tensor, "1 3 _ w"]]:
        """What the round makes at alpha = 0, band by band: what the next one begins with."""
        for band, low in self.bands():
            yield with_low_band(band, self.options.low_band, low).at(0.0)

    def bands(self) -> Iterator[tuple[Transported, Float[Tensor, "1 3 r w"] | None]]:
        """Bands with one dial; beside each the low band of its direction, if that is wanted."""
        none, low_band = torch.empty(0), self.options.low_band
        bands = (
            ((none, *each) for each in self._directions())
            if low_band is None
            else low_band.low_in_bands(self._directions(), self.size[0])
        )
        for low, _, shown, moved, *plain in bands:
            own = Transported(
                shown, self.latents, self.mapped, plain[0] if plain else None, moved, self.codec
            )
            yield own, None if low_band is None else low

    def _directions(self) -> Iterator[tuple[Tensor, ...]]:
        """The direction, x_k, D(T(E x_k)), and with residual decoding D(E x_k), band by band."""
        sources = [iter(self.image()), self._decoded(self.mapped, self._moving())]
        if self.options.decoding == "residual":
            sources.append(self._decoded(self.latents, self.codec))
        for shown, moved, *plain in abreast(sources):
            yield moved - (plain[0] if plain else shown), shown, moved, *plain

    def _moving(self) -> BandedCodec:
        return with_levels(self.codec, self.operator, fold=self.options.fold)

    def _decoded(
        self, latents: Float[Tensor, "1 c y x"], codec: BandedCodec
    ) -> Iterator[Float[Tensor, "1 3 _ w"]]:
        return decode_in_bands(latents, *self.size, codec, is_grey=self.is_grey)


def images_after_in_bands(
    image: Bands,
    size: tuple[int, int],
    codec: BandedCodec,
    rounds: Sequence[Operator],
    between: Between,
    generators: Sequence[torch.Generator] = (),
    *,
    is_grey: bool = False,
) -> tuple[BandedRound, Bands]:
    """The first of some rounds over a restored image, and what the last of them makes of it.

    The latter is ``images_after``, to the bit where tiles of the codec are exact. Two latents are
    held for each round; whenever the image is read, all rounds decode anew.

    Args:
        image: the restored image.
        size: its height and width.
        codec: in tiles.
        rounds: operators, one at least.
        between: how each round makes its image.
        generators: one, for stochastic operators.
        is_grey: whether what is decoded is made grey.
    """
    done = list[BandedRound]()
    for number, operator in enumerate(rounds):
        draws = generators_of_round(generators, number)
        begun = done[-1].at_zero if done else image
        done.append(BandedRound.of(begun, size, codec, operator, between, draws, is_grey=is_grey))
    return done[0], done[-1].at_zero


def last_round_in_bands(
    image: Bands,
    size: tuple[int, int],
    codec: BandedCodec,
    operator: AnyOperator,
    options: Between,
    generators: Sequence[torch.Generator] = (),
    *,
    is_grey: bool = False,
) -> tuple[BandedRound, Float[Tensor, "1 c y x"]]:
    """The last round of an operator over a restored image x, and E x.

    The arguments are those of ``images_after_in_bands``; ``options`` are those of the last round.
    """
    *before, last = rounds_of(operator)
    first = None
    if isinstance(operator, RepeatedOperator):
        first, image = images_after_in_bands(
            image, size, codec, before, operator.between, generators, is_grey=is_grey
        )
    draws = generators_of_round(generators, len(before))
    own = BandedRound.of(image, size, codec, last, options, draws, is_grey=is_grey)
    return own, own.latents if first is None else first.latents


def enhance_in_bands(
    image: Bands,
    size: tuple[int, int],
    codec: BandedCodec,
    operator: AnyOperator,
    alpha: float,
    options: Between | None = None,
    generators: Sequence[torch.Generator] = (),
    *,
    is_grey: bool = False,
) -> Iterator[Float[Tensor, "1 3 _ w"]]:
    """An enhanced image band by band: ``transport_in_rounds`` at one alpha, with two dials.

    Args:
        image: the restored image.
        size: its height and width.
        codec: in tiles.
        operator: of one round or of several.
        alpha: see ``enhance``.
        options: of the last round: decoding, fold, and what low frequencies do; None for the
            defaults of ``Between``.
        generators: one, for a stochastic operator.
        is_grey: whether what is decoded is made grey.

    Raises:
        ValueError: an enhanced band is not finite.
    """
    options = options or Between()
    own, latents = last_round_in_bands(
        image, size, codec, operator, options, generators, is_grey=is_grey
    )
    rows, top = Rows(iter(image())), 0
    for band, low in own.bands():
        seen = band
        if isinstance(operator, RepeatedOperator):
            restored = rows.of(range(top, top + band.images.shape[2]))
            top += band.images.shape[2]
            seen = after_last(restored, band.images, band, latents)
        yield require_finite(with_low_band(seen, options.low_band, low).at(alpha))
