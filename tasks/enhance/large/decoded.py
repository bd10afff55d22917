"""What is decoded of a large image, band by band: the same rows of all of it at once.

Axes: r rows of a band, w width of the picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from dot_kernels import Transported
from dot_kernels.bands import BandedCodec, abreast, decode_in_bands
from dot_kernels.dials import LowBand
from dot_kernels.levels import with_levels
from dot_kernels.rounds import after_last
from dot_kernels.rounds_in_bands import BandedRound
from tasks.config.sections import Enhance
from tasks.enhance.curves.dials import TwoDials
from tasks.enhance.large.subject import LargeImage
from tasks.io.workspace import CODEC_INPUT, Signal

_MAPPED = Signal("mapped")
"""Name of D(T(E x)) among what is decoded."""

_BEGUN, _PLAIN = Signal("begun"), Signal("plain")
"""Names of what the last of several rounds begins with, and of D(E x) of that."""

_LOW = Signal("low")
"""Name of the low band of the direction from D(E x), or from x, to D(T(E x))."""

Found = tuple[slice, dict[Signal, Tensor]]
"""Rows, and their images by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """A large image whose latents are moved, and that is decoded when it is asked for."""

    image: LargeImage
    latents: Tensor
    """E x, (1, c, y, x)."""
    last: BandedRound
    """The round that enhances it, the only one or the last of several."""
    is_repeated: bool
    """Whether there are several."""
    options: Enhance
    signals: Sequence[Signal]
    """Whose images are made."""
    low_band: LowBand | None
    """Which frequencies are low, whatever their share; None where nobody asks."""

    def bands(self) -> Iterator[tuple[slice, TwoDials, dict[Signal, Tensor]]]:
        """Yield rows, their images at any alpha and share, and all that is decoded of them."""
        for rows, found in self._with_low():
            self.image.require_finite(*found.values())
            restored = self.image.images(rows)
            dial = Transported(
                images=found.get(_BEGUN, restored),
                latents=self.last.latents,
                mapped_latents=self.last.mapped,
                codec_images=None if self._plain is None else found[self._plain],
                mapped_images=found.get(_MAPPED),
                codec=self.last.codec,
            )
            if self.is_repeated:
                dial = after_last(restored, dial.images, dial, self.latents)
            yield rows, TwoDials(dial, self.options, found.get(_LOW)), found

    @property
    def _plain(self) -> Signal | None:
        """Name of D(E x) of what the last round begins with; None with direct decoding."""
        if self.options.decoding != "residual":
            return None
        return _PLAIN if self.is_repeated else CODEC_INPUT

    def _decoded(self) -> Iterator[Found]:
        """Yield bands of all that is decoded.

        That is D(E x) as ``CODEC_INPUT``, if it is needed, and D(T(E x)) as ``_MAPPED``, or for
        latent interpolation the images at every alpha before residual decoding. Of several rounds
        that is of the image that the last begins with, ``_BEGUN``, whose D(E x) is ``_PLAIN``.
        """
        sources, last = dict[Signal, tuple[Tensor, BandedCodec]](), self.last
        if CODEC_INPUT in (*self.signals, self._plain):
            sources[CODEC_INPUT] = self.latents, last.codec
        if self._plain == _PLAIN:
            sources[_PLAIN] = last.latents, last.codec
        if self.options.interpolation == "image":
            sources[_MAPPED] = last.mapped, self._codec_at(0.0)
        else:
            alphas = {s: s.alpha for s in self.signals if s.alpha is not None}
            sources |= {
                s: (mixed(s, last.latents, last.mapped), self._codec_at(a))
                for s, a in alphas.items()
            }
        streams = {
            s: decode_in_bands(z, *self.image.size, codec, is_grey=last.is_grey)
            for s, (z, codec) in sources.items()
        }
        if self.is_repeated:
            streams[_BEGUN] = iter(last.image())
        top = 0
        for bands in abreast(list(streams.values())):
            rows = slice(top, top + bands[0].shape[2])
            top = rows.stop
            yield rows, dict(zip(streams, bands, strict=True))

    def _with_low(self) -> Iterator[Found]:
        """Yield what is decoded with the low band of the last round's direction as ``_LOW``.

        Without two dials it is handed on as it comes; with them, later by some rows.
        """
        if self.low_band is None:
            yield from self._decoded()
            return
        names, top = list[Signal](), 0

        def directions() -> Iterator[tuple[Tensor, ...]]:
            for rows, found in self._decoded():
                names[:] = found
                yield found[_MAPPED] - self._base(rows, found), *found.values()

        for low, _, *others in self.low_band.low_in_bands(directions(), self.image.size[0]):
            rows = slice(top, top + low.shape[2])
            top = rows.stop
            yield rows, {_LOW: low, **dict(zip(names, others, strict=True))}

    def _base(self, rows: slice, found: dict[Signal, Tensor]) -> Tensor:
        """Return what the last round's direction is counted from."""
        name = self._plain or (_BEGUN if self.is_repeated else None)
        return self.image.images(rows) if name is None else found[name]

    def _codec_at(self, alpha: float) -> BandedCodec:
        """Return the codec that moves activations as far as alpha says, where they are moved."""
        fold = self.last.options.fold
        return with_levels(self.last.codec, self.last.operator, alpha=alpha, fold=fold)


def mixed(signal: Signal, latents: Tensor, mapped: Tensor) -> Tensor:
    """Return the latents before decoding at a signal's alpha, or those of the input."""
    if signal.alpha is None:
        return latents
    return (1 - signal.alpha) * mapped + signal.alpha * latents
