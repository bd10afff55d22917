"""One large image encoded, transported, decoded and measured, band by band.

Nothing but its latents is held of the whole image in memory: bands of pixels become bands of every
signal at once, which go to the disk as they are written. LPIPS and features then read them in
tiles. The numbers are those of the pass over small images, up to rounding in sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dot_kernels import Transported
from dot_kernels.bands import abreast, band_rows, decode_in_bands, encode_in_bands
from dot_kernels.dials import LowBand
from dot_kernels.enhancement import within_range
from dot_kernels.latent_transport import transport_latents
from dot_kernels.levels import Operator, latent_part, with_levels
from dot_kernels.patches import Fold
from tasks.config.sections import Enhance
from tasks.enhance.curves.dials import TwoDials, band_of
from tasks.enhance.curves.points import Curves
from tasks.enhance.large.distortions import DistortionsInBands
from tasks.enhance.large.perception import perceive_large
from tasks.enhance.large.subject import LargeImage, in_rows
from tasks.enhance.pairs import Pair
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels
from tasks.io.images.pixels import bands_of
from tasks.io.machine.scratch import let_go
from tasks.io.workspace import CODEC, CODEC_INPUT, CURVE, INPUT, Signal
from tasks.jobs.stopwatch import Stopwatch, TimedCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class LargePass:
    """The pass over large images, one at a time."""

    codec: TimedCodec
    operator: Operator
    options: Enhance
    fold: Fold
    signals: Sequence[Signal]
    """Whose images are made."""
    scored: frozenset[Signal]
    """Those of them whose metrics and moments are wanted."""
    curves: Curves
    """Those whose points are measured."""
    networks: Networks
    device: str
    watch: Stopwatch

    def over(self, pair: Pair, generators: Sequence[torch.Generator]) -> LargeImage:
        """Return a picture with what is made and measured of it.

        Args:
            pair: the restored picture, and its ground truth if there is one.
            generators: one on the CPU, for a stochastic operator; else none.
        """
        image = LargeImage(pair=pair, form=self.options.form, device=self.device)
        latents = self._encoded(image.looked_at)
        with self.watch.lap("transport"):
            mapped = transport_latents(
                latents, latent_part(self.operator), fold=self.fold, generators=generators
            )
        image.require_finite(latents, mapped)
        self._render(image, latents, mapped)
        if CODEC in self.signals and image.truth_looked_at is not None:
            self._code(image, image.truth_looked_at)
        image.let_go()
        with self.watch.lap("metrics"):
            perceive_large(self.networks, image, {*self.scored, *self.curves.seen})
        image.pixels = {s: image.pixels[s] for s in self.signals if s in image.pixels}
        return image

    @property
    def _is_residual(self) -> bool:
        return self.options.decoding == "residual"

    def _encoded(self, pixels: Pixels) -> Tensor:
        """Return the latents (1, c, y, x) of an image."""
        bands = bands_of(pixels, band_rows(pixels.shape[1], self.codec), self.device)
        read = self.watch.each("read", bands)
        latents = encode_in_bands(read, pixels.shape[0], pixels.shape[1], self.codec)
        let_go(pixels)
        return latents

    def _render(self, image: LargeImage, latents: Tensor, mapped: Tensor) -> None:
        """Add the images of all signals but the coded reference, and distortions of the curves.

        Args:
            image: the picture.
            latents: of it, before the transport.
            mapped: and after it.
        """
        signals = [s for s in (*self.signals, *self.curves.seen) if s not in (CODEC, INPUT)]
        curves = [
            (line, DistortionsInBands(self.curves.points(line))) for line in self.curves.lines
        ]
        for rows, decoded in self._banded(image, self._decoded(image, latents, mapped)):
            image.require_finite(*decoded.values())
            one_dial = Transported(
                images=image.images(rows),
                latents=latents,
                mapped_latents=mapped,
                codec_images=decoded[CODEC_INPUT] if self._is_residual else None,
                mapped_images=decoded.get(_MAPPED),
                codec=self.codec,
            )
            dials = TwoDials(one_dial, self.options, decoded.get(_LOW))
            for signal in signals:
                image.write(signal, rows, _image_of(signal, dials.of(signal), decoded))
            with self.watch.lap("metrics"):
                for line, distortions in curves:
                    _measure(distortions, dials.of(line), image, rows)
            image.let_go()
        for _, distortions in curves:
            image.curve |= distortions.metrics()
        if INPUT in self.signals:
            image.pixels[INPUT] = image.pair.raster.pixels
        wanted = [s for s in self.signals if s in self.scored and s not in (CODEC, CODEC_INPUT)]
        image.latents |= {s: _mixed(s, latents, mapped) for s in wanted}

    def _decoded(
        self, image: LargeImage, latents: Tensor, mapped: Tensor
    ) -> Iterator[tuple[slice, dict[Signal, Tensor]]]:
        """Yield bands of all that is decoded of an image: their rows, and their images by name.

        That is D(E x) as ``CODEC_INPUT``, if it is needed, and D(T(E x)) as ``_MAPPED``, or for
        latent interpolation the images at every alpha before residual decoding.
        """
        sources = dict[Signal, tuple[Tensor, TimedCodec]]()
        if self._is_residual or CODEC_INPUT in self.signals:
            sources[CODEC_INPUT] = latents, self.codec
        if self.options.interpolation == "image":
            sources[_MAPPED] = mapped, self._codec_at(0.0)
        else:
            alphas = {s: s.alpha for s in self.signals if s.alpha is not None}
            sources |= {
                s: (_mixed(s, latents, mapped), self._codec_at(a)) for s, a in alphas.items()
            }
        streams = [self._decode(z, image, codec) for z, codec in sources.values()]
        top = 0
        for bands in abreast(streams):
            rows = slice(top, top + bands[0].shape[2])
            top = rows.stop
            yield rows, dict(zip(sources, bands, strict=True))

    def _banded(
        self, image: LargeImage, decoded: Iterator[tuple[slice, dict[Signal, Tensor]]]
    ) -> Iterator[tuple[slice, dict[Signal, Tensor]]]:
        """Yield what is decoded with the low band of the image's direction as ``_LOW``.

        Without two dials it is handed on as it comes; with them, later by some rows.
        """
        if (band := self._low_band) is None:
            yield from decoded
            return
        names, top = list[Signal](), 0

        def directions() -> Iterator[tuple[Tensor, ...]]:
            for rows, found in decoded:
                base = found[CODEC_INPUT] if self._is_residual else image.images(rows)
                names[:] = found
                yield found[_MAPPED] - base, *found.values()

        for low, _, *others in band.low_in_bands(directions(), image.size[0]):
            rows = slice(top, top + low.shape[2])
            top = rows.stop
            yield rows, {_LOW: low, **dict(zip(names, others, strict=True))}

    @property
    def _low_band(self) -> LowBand | None:
        """Which frequencies are low, whatever their share; None where nobody asks."""
        bands = (band_of(self.options, s) for s in (CURVE, *self.curves.lines))
        return next((band for band in bands if band is not None), None)

    def _codec_at(self, alpha: float) -> TimedCodec:
        """Return the codec that moves activations as far as alpha says, where they are moved."""
        return with_levels(self.codec, self.operator, alpha=alpha, fold=self.fold)

    def _decode(self, latents: Tensor, image: LargeImage, codec: TimedCodec) -> Iterator[Tensor]:
        """Yield bands of decoded latents, grey where the picture is; see ``GreyCodec``."""
        for band in decode_in_bands(latents, *image.size, codec):
            is_grey = image.pair.raster.is_grey
            yield band.mean(dim=1, keepdim=True).expand_as(band) if is_grey else band

    def _code(self, image: LargeImage, reference: Pixels) -> None:
        """Add the image of the coded reference, D(E(reference)), and its latents."""
        coded = self._written(image, self._decode(self._encoded(reference), image, self.codec))
        if CODEC in self.scored:
            image.latents[CODEC] = encode_in_bands(coded, *image.size, self.codec)
        for _ in coded:
            continue

    def _written(self, image: LargeImage, decoded: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield bands of the decoded reference in [0, 1], after they were written."""
        for rows, band in in_rows(decoded):
            shown = within_range(band)
            image.write(CODEC, rows, shown)
            yield shown


_MAPPED = Signal("mapped")
"""Name of D(T(E x)) among what is decoded."""

_LOW = Signal("low")
"""Name of the low band of the direction from D(E x), or from x, to that."""


def _measure(
    distortions: DistortionsInBands, transported: Transported, image: LargeImage, rows: slice
) -> None:
    """Add a band to the distortions along its direction; nothing where it has none."""
    if (direction := transported.direction()) is not None:
        written = image.look(rows).written(CURVE)
        distortions.add(transported.images, direction, image.truth(rows), written)


def _image_of(signal: Signal, transported: Transported, decoded: dict[Signal, Tensor]) -> Tensor:
    """Return a band of the image of a signal, (1, 3, r, w) in [0, 1]."""
    if signal.alpha is None:
        return within_range(decoded[signal])
    if signal not in decoded:
        return transported.at(signal.alpha)
    if signal.alpha == 1 and transported.codec_images is not None:
        return transported.images
    # As if the latents at alpha were those of the full transport.
    return replace(transported, mapped_images=decoded[signal]).at(0.0)


def _mixed(signal: Signal, latents: Tensor, mapped: Tensor) -> Tensor:
    """Return the latents before decoding at a signal's alpha, or those of the input."""
    if signal.alpha is None:
        return latents
    return (1 - signal.alpha) * mapped + signal.alpha * latents
