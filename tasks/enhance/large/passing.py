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
from dot_kernels.bands import band_rows, decode_in_bands, encode_in_bands
from dot_kernels.dials import LowBand
from dot_kernels.enhancement import within_range
from dot_kernels.patches import Fold
from dot_kernels.rounds import AnyOperator, Between, RepeatedOperator
from dot_kernels.rounds_in_bands import BandedRound, last_round_in_bands
from tasks.config.sections import Enhance
from tasks.enhance.curves.dials import band_of
from tasks.enhance.curves.points import Curves
from tasks.enhance.large.decoded import DecodedImage, mixed
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
    operator: AnyOperator
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
        with self.watch.lap("transport"):
            last, latents = last_round_in_bands(
                lambda: self._read(image.looked_at),
                image.size,
                self.codec,
                self.operator,
                Between(decoding=self.options.decoding, fold=self.fold),
                generators,
                is_grey=image.pair.raster.is_grey,
            )
        let_go(image.looked_at)
        image.require_finite(latents, last.mapped)
        self._render(image, latents, last)
        if CODEC in self.signals and image.truth_looked_at is not None:
            self._code(image, image.truth_looked_at)
        image.let_go()
        with self.watch.lap("metrics"):
            perceive_large(self.networks, image, {*self.scored, *self.curves.seen})
        image.pixels = {s: image.pixels[s] for s in self.signals if s in image.pixels}
        return image

    def _read(self, pixels: Pixels) -> Iterator[Tensor]:
        """Yield bands (1, 3, r, w) of an image."""
        bands = bands_of(pixels, band_rows(pixels.shape[1], self.codec), self.device)
        return self.watch.each("read", bands)

    def _encoded(self, pixels: Pixels) -> Tensor:
        """Return the latents (1, c, y, x) of an image."""
        height, width, _ = pixels.shape
        latents = encode_in_bands(self._read(pixels), height, width, self.codec)
        let_go(pixels)
        return latents

    def _render(self, image: LargeImage, latents: Tensor, last: BandedRound) -> None:
        """Add the images of all signals but the coded reference, and distortions of the curves.

        Args:
            image: the picture.
            latents: of it.
            last: the last round over it.
        """
        signals = [s for s in (*self.signals, *self.curves.seen) if s not in (CODEC, INPUT)]
        curves = [
            (line, DistortionsInBands(self.curves.points(line))) for line in self.curves.lines
        ]
        made = DecodedImage(
            image=image,
            latents=latents,
            last=last,
            is_repeated=isinstance(self.operator, RepeatedOperator),
            options=self.options,
            signals=self.signals,
            low_band=self._low_band,
        )
        for rows, dials, found in made.bands():
            for signal in signals:
                image.write(signal, rows, _image_of(signal, dials.of(signal), found))
            with self.watch.lap("metrics"):
                for line, distortions in curves:
                    _measure(distortions, dials.of(line), image, rows)
            image.let_go()
        for _, distortions in curves:
            image.curve |= distortions.metrics()
        if INPUT in self.signals:
            image.pixels[INPUT] = image.pair.raster.pixels
        wanted = [s for s in self.signals if s in self.scored and s not in (CODEC, CODEC_INPUT)]
        image.latents |= {s: mixed(s, latents, last.mapped) for s in wanted}

    @property
    def _low_band(self) -> LowBand | None:
        """Which frequencies are low, whatever their share; None where nobody asks."""
        bands = (band_of(self.options, s) for s in (CURVE, *self.curves.lines))
        return next((band for band in bands if band is not None), None)

    def _code(self, image: LargeImage, reference: Pixels) -> None:
        """Add the image of the coded reference, D(E(reference)), and its latents."""
        latents, is_grey = self._encoded(reference), image.pair.raster.is_grey
        decoded = decode_in_bands(latents, *image.size, self.codec, is_grey=is_grey)
        coded = self._written(image, decoded)
        if CODEC in self.scored:
            image.latents[CODEC] = encode_in_bands(coded, *image.size, self.codec)
        for _ in coded:
            continue

    def _written(self, image: LargeImage, coded: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield bands of the decoded reference in [0, 1], after they were written."""
        for rows, band in in_rows(coded):
            shown = within_range(band)
            image.write(CODEC, rows, shown)
            yield shown


def _measure(
    distortions: DistortionsInBands, transported: Transported, image: LargeImage, rows: slice
) -> None:
    """Add a band to the distortions along its direction; nothing where it has none."""
    if (direction := transported.direction()) is not None:
        written = image.look(rows).written(CURVE)
        distortions.add(transported.images, direction, image.truth(rows), written)


def _image_of(signal: Signal, transported: Transported, found: dict[Signal, Tensor]) -> Tensor:
    """Return a band of the image of a signal, (1, 3, r, w) in [0, 1]."""
    if signal.alpha is None:
        return within_range(found[signal])
    if signal not in found:
        return transported.at(signal.alpha)
    if signal.alpha == 1 and transported.codec_images is not None:
        return transported.images
    # As if the latents at alpha were those of the full transport.
    return replace(transported, mapped_images=found[signal]).at(0.0)
