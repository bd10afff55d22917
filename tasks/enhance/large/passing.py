"""One large image encoded, transported, decoded and measured, band by band.

Nothing but its latents is held of the whole image in memory: bands of pixels become bands of every
signal at once, which go to the disk as they are written. LPIPS and features then read them in
tiles. The numbers are those of the pass over small images, up to rounding in sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dot_kernels import Transported, TransportOperator
from dot_kernels.bands import band_rows, decode_in_bands, encode_in_bands
from dot_kernels.enhancement import within_range
from dot_kernels.latent_transport import transport_latents
from dot_kernels.patches import Fold
from tasks.config.sections import Enhance
from tasks.enhance.large.distortions import DistortionsInBands
from tasks.enhance.large.perception import perceive_large
from tasks.enhance.pairs import NOT_FINITE, Pair, Rendered
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels
from tasks.io.images.pixels import bands_of, finite, to_pixels
from tasks.io.machine.scratch import let_go, scratch_array
from tasks.io.networks.features.extractors import Seen
from tasks.io.workspace import CODEC, CODEC_INPUT, INPUT, Signal
from tasks.jobs.stopwatch import Stopwatch, TimedCodec


@dataclass(slots=True, kw_only=True)
class LargeImage:
    """What a pass makes of one large image; it grows band by band."""

    size: tuple[int, int]
    """Height and width."""
    pixels: dict[Signal, Pixels] = field(default_factory=dict)
    """Of every signal, as they are written, on disk."""
    latents: dict[Signal, Tensor] = field(default_factory=dict)
    """Of the signals whose moments are wanted, (1, c, y, x)."""
    is_finite: bool = True
    """Whether all that the networks made of it is."""
    lpips: dict[Signal, float] = field(default_factory=dict)
    features: dict[Signal, Seen] = field(default_factory=dict)
    curve: dict[Signal, dict[str, float | None]] = field(default_factory=dict)

    def rendered(self, pair: Pair) -> Rendered:
        """Return what became of the picture of a pair."""
        if not self.is_finite:
            return Rendered(picture=pair.picture, reason=NOT_FINITE)
        return Rendered(
            picture=pair.picture,
            images=self.pixels,
            reference=None if pair.reference is None else pair.reference.pixels,
            lpips=self.lpips,
            features=self.features,
            curve=self.curve,
            unscored=pair.unscored,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LargePass:
    """The pass over large images, one at a time."""

    codec: TimedCodec
    operator: TransportOperator
    options: Enhance
    fold: Fold
    signals: Sequence[Signal]
    """Whose images are made."""
    scored: frozenset[Signal]
    """Those of them whose metrics and moments are wanted."""
    curve: Sequence[Signal]
    """Points of the curve whose distortions are wanted."""
    on_curve: bool
    """Whether the networks of the metrics see the images at these points too."""
    networks: Networks
    device: str
    watch: Stopwatch

    def over(self, pair: Pair, generators: Sequence[torch.Generator]) -> LargeImage:
        """Return what is made and measured of a picture.

        Args:
            pair: the restored picture, and its ground truth if there is one.
            generators: one on the CPU, for a stochastic operator; else none.
        """
        pixels, reference = (
            None if each is None else each.pixels for each in (pair.picture, pair.reference)
        )
        assert pixels is not None  # noqa: S101 - a pair has a decoded picture
        made = LargeImage(size=(pixels.shape[0], pixels.shape[1]))
        latents = self._encoded(pixels)
        with self.watch.lap("transport"):
            mapped = transport_latents(
                latents, self.operator, fold=self.fold, generators=generators
            )
            made.is_finite = bool(torch.isfinite(latents).all() and torch.isfinite(mapped).all())
        self._render(made, pixels, reference, (latents, mapped))
        if CODEC in self.signals and reference is not None:
            self._code(made, reference)
        with self.watch.lap("metrics"):
            shown = {s: made.pixels[s] for s in made.pixels if s in self.scored or s in self.curve}
            made.lpips, made.features = perceive_large(self.networks, shown, reference, self.device)
        made.pixels = {s: made.pixels[s] for s in self.signals if s in made.pixels}
        return made

    def _encoded(self, pixels: Pixels) -> Tensor:
        """Return the latents (1, c, y, x) of an image."""
        latents = encode_in_bands(self._bands(pixels), *pixels.shape[:2], self.codec)
        let_go(pixels)
        return latents

    def _bands(self, pixels: Pixels) -> Iterator[Tensor]:
        """Yield an image band by band, (1, 3, r, w) in [0, 1]."""
        rows = band_rows(pixels.shape[1], self.codec)
        return self.watch.each("read", bands_of(pixels, rows, self.device))

    def _render(
        self,
        made: LargeImage,
        pixels: Pixels,
        reference: Pixels | None,
        latents: tuple[Tensor, Tensor],
    ) -> None:
        """Add the images of all signals but the coded reference, and distortions of the curve.

        Args:
            made: so far.
            pixels: of the restored image.
            reference: its ground truth.
            latents: of the image, before and after the transport.
        """
        points = self.curve if self.on_curve else ()
        signals = [s for s in (*self.signals, *points) if s not in (CODEC, INPUT)]
        made.pixels |= {s: scratch_array(pixels.shape, pixels.dtype) for s in signals}
        distortions = DistortionsInBands(self.curve)
        for rows, decoded in self._decoded(pixels.shape, latents):
            (images,) = bands_of(pixels[rows], len(pixels), self.device)
            made.is_finite &= all(bool(finite(each)) for each in decoded.values())
            transported = Transported(
                images=images,
                latents=latents[0],
                mapped_latents=latents[1],
                codec_images=decoded[CODEC_INPUT] if self._is_residual else None,
                mapped_images=decoded.get(_MAPPED),
                codec=self.codec,
            )
            for signal in signals:
                self._write(made, signal, rows, _image_of(signal, transported, decoded))
            direction = transported.direction()
            if self.curve and reference is not None and direction is not None:
                with self.watch.lap("metrics"):
                    (truth,) = bands_of(reference[rows], len(pixels), self.device)
                    distortions.add(images, direction, truth)
        made.curve = distortions.metrics()
        if INPUT in self.signals:
            made.pixels[INPUT] = pixels
        wanted = [s for s in self.signals if s in self.scored and s not in (CODEC, CODEC_INPUT)]
        made.latents |= {s: _mixed(s, *latents) for s in wanted}
        let_go(pixels)

    @property
    def _is_residual(self) -> bool:
        return self.options.decoding == "residual"

    def _decoded(
        self, shape: tuple[int, ...], latents: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[slice, dict[Signal, Tensor]]]:
        """Yield bands of all that is decoded of an image: their rows, and their images by name.

        That is D(E x) as ``CODEC_INPUT``, if it is needed, and D(T(E x)) as ``_MAPPED``, or for
        latent interpolation the images at every alpha before residual decoding.

        Args:
            shape: of the image's pixels.
            latents: of the image, before and after the transport.
        """
        sources = dict[Signal, Tensor]()
        if self._is_residual or CODEC_INPUT in self.signals:
            sources[CODEC_INPUT] = latents[0]
        if self.options.interpolation == "image":
            sources[_MAPPED] = latents[1]
        else:
            sources |= {s: _mixed(s, *latents) for s in self.signals if s.alpha is not None}
        streams = [decode_in_bands(z, *shape[:2], self.codec) for z in sources.values()]
        top = 0
        for bands in zip(*streams, strict=True):
            rows = slice(top, top + bands[0].shape[2])
            top = rows.stop
            yield rows, dict(zip(sources, bands, strict=True))

    def _code(self, made: LargeImage, reference: Pixels) -> None:
        """Add the image of the coded reference, D(E(reference)), and its latents."""
        latents, size = self._encoded(reference), reference.shape[:2]
        made.pixels[CODEC] = scratch_array(reference.shape, reference.dtype)
        coded = self._written(made, decode_in_bands(latents, *size, self.codec))
        if CODEC in self.scored:
            made.latents[CODEC] = encode_in_bands(coded, *size, self.codec)
        for _ in coded:
            continue

    def _written(self, made: LargeImage, decoded: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield bands of the decoded reference in [0, 1], after they were added."""
        top = 0
        for band in decoded:
            image = within_range(band)
            rows = slice(top, top + image.shape[2])
            top = rows.stop
            self._write(made, CODEC, rows, image)
            yield image

    def _write(self, made: LargeImage, signal: Signal, rows: slice, image: Tensor) -> None:
        """Write a band (1, 3, r, w) of a signal's image to the disk."""
        array = made.pixels[signal]
        made.is_finite &= bool(finite(image))
        array[rows] = to_pixels(image[0], array.dtype)
        let_go(array)


_MAPPED = Signal("mapped")
"""Name of D(T(E x)) among what is decoded."""


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
