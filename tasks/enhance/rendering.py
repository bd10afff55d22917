"""The part of enhancement that runs networks: from pictures to the images of every signal.

A signal is an image to be written or scored: enhanced at an alpha, the input, or a control.
Axes: b pictures of a batch, h and w their height and width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from dot_kernels import GaussianMoments, SeamError, patch_moments
from dot_kernels.bands import is_large
from dot_kernels.enhancement import whole_cells
from dot_kernels.levels import latent_part
from dot_kernels.patches import Fold, patch_size_of
from dot_kernels.rounds import AnyOperator, rounds_of, transport_in_rounds
from tasks.config.sections import Enhance
from tasks.enhance.curves.dials import TwoDials
from tasks.enhance.curves.distortions import distortions_on
from tasks.enhance.curves.points import Curves
from tasks.enhance.large.passing import LargePass
from tasks.enhance.pairs import (
    NOT_FINITE,
    Gathered,
    Pair,
    Rendered,
    Window,
    paired_groups,
    without_unwritable,
)
from tasks.enhance.perception import Networks, perceive
from tasks.enhance.signal_images import Appearance, Made, all_finite, images_of, latents_of
from tasks.io.draws import draws_of, generator_of
from tasks.io.images.pixels import finite, to_tensor
from tasks.io.images.transparency import without_hidden
from tasks.io.networks.batches import Batches, no_room
from tasks.io.workspace import CODEC_INPUT, CURVE, Signal
from tasks.jobs.memory import transported_once
from tasks.jobs.stopwatch import Stopwatch, TimedCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Runs the codec, the transport and the networks of the metrics on pictures."""

    codec: TimedCodec
    operator: AnyOperator
    options: Enhance
    fold: Fold
    transport: str = ""
    """Names all that images are moved by, which several jobs may have in common."""
    signals: tuple[Signal, ...]
    """Whose images are made: the enhanced ones at every alpha, and the controls."""
    scored: frozenset[Signal]
    """Those of the signals whose metrics and moments are wanted."""
    batch: int
    """Pictures in a batch, at most."""
    batches: Batches
    networks: Networks
    watch: Stopwatch
    gathered: Gathered
    precise: Callable[[], TimedCodec] | None = None
    """Loads the codec in float32, with which pictures are rendered again whose output is not
    finite; None where such pictures are refused at once."""
    curves: Curves
    """Those whose points are measured."""

    @property
    def remarks(self) -> dict[str, int]:
        """Counts for the ledger's record: smaller batches, pictures rendered again in float32."""
        return self.batches.remarks | self.gathered.redone

    @property
    def seams(self) -> SeamError:
        """How much blended tiles differed where they overlap, in the pictures so far."""
        return self.gathered.seams

    @property
    def moments(self) -> Mapping[Signal, tuple[GaussianMoments, ...]]:
        """Moments of the latent patches of each scored signal, of the pictures so far."""
        return self.gathered.moments

    def render(self, window: Window, missing: str) -> Iterator[Rendered]:
        """Yield what became of every picture: refused ones first, then by size.

        Args:
            window: pictures, each with another key.
            missing: what to say of a picture whose key has no reference.
        """
        usable = without_unwritable(window.pictures, self.options.form)
        refused = (picture for picture in usable if picture.pixels is None)
        yield from (Rendered(picture=each, reason=each.reason) for each in refused)
        for pairs in paired_groups(usable, window.references, missing, self.batch):
            yield from self._render_group(pairs)

    def _render_group(self, pairs: Sequence[Pair]) -> Iterator[Rendered]:
        """Yield what became of pictures of one size, all with a reference or all without."""
        to_redo, member = list[Pair](), pairs[0].picture.member
        if is_large(member.height, member.width, self.codec.tile):
            make, parts = self._render_large, [[pair] for pair in pairs]
        else:
            make, parts = self._render_batch, [list(pairs)]
        size = member.width * member.height
        made = [each for part in parts for each in self.batches.run(make, part, size)]
        for pair, rendered in zip(pairs, made, strict=True):
            if rendered is None:
                yield Rendered(picture=pair.picture, reason=no_room(pair.picture))
            elif rendered.reason == NOT_FINITE and self.precise is not None:
                to_redo.append(pair)
            else:
                yield rendered
        if to_redo and self.precise is not None:
            self.gathered.redone["again_in_float32"] += len(to_redo)
            precise = replace(self, codec=self.precise(), precise=None, transport="")
            yield from precise._render_group(to_redo)

    @torch.inference_mode()
    def _render_batch(self, pairs: Sequence[Pair]) -> list[Rendered]:
        """Return what became of the pictures of a batch, in their order.

        What is gathered grows at the very end, so that a batch that fails for want of memory
        and is cut in two is not counted twice. This is no generator: ``inference_mode`` would
        end before its body begins.
        """
        look = Appearance.of(pairs, self.options.form, self.batches.device)
        with self.watch.lap("transport"):
            dials, references = self._transport(pairs, look)
            transported = dials.of(CURVE)
        with self.watch.lap("metrics"):
            made = Made(look, all_finite(transported))
            shown = self._shown(made, dials, references)
            truths = look.on_white(references)
            marks, features = perceive(self.networks, shown, truths, look.alpha)
            curve = distortions_on(self.curves, dials, references, look.written(CURVE))
            moments = self._measure(made, transported.images.shape[2:], pairs)
        rendered = [
            Rendered(
                picture=pair.picture,
                images={signal: pixels[index] for signal, pixels in made.pixels.items()},
                reference=None if pair.reference is None else pair.reference.pixels,
                marks={signal: values[index] for signal, values in marks.items()},
                features={signal: seen[index] for signal, seen in features.items()},
                curve=curve[index] if curve else {},
                unscored=pair.unscored,
            )
            if bool(made.usable[index])
            else Rendered(picture=pair.picture, reason=NOT_FINITE)
            for index, pair in enumerate(pairs)
        ]
        self.gathered.moments.update(moments)
        return rendered

    @torch.inference_mode()
    def _render_large(self, pairs: Sequence[Pair]) -> list[Rendered]:
        """Return what became of a single large picture; see ``LargePass``."""
        (pair,) = pairs
        large = LargePass(
            codec=self.codec,
            operator=self.operator,
            options=self.options,
            fold=self.fold,
            signals=self.signals,
            scored=self.scored,
            curves=self.curves,
            networks=self.networks,
            device=self.batches.device,
            watch=self.watch,
        )
        image = large.over(pair, self._generators(pairs))
        if image.is_finite:
            with self.watch.lap("metrics"):
                look = Appearance.of(pairs, self.options.form, "cpu")
                made = Made(look, torch.ones(1, dtype=torch.bool), latents=image.latents)
                self.gathered.moments.update(self._measure(made, image.size, pairs))
        return [image.rendered()]

    def _transport(self, pairs: Sequence[Pair], look: Appearance) -> tuple[TwoDials, Tensor | None]:
        """Return the batch encoded, moved and decoded, and its references (b, 3, h, w) or None."""
        found = (None if pair.reference is None else pair.reference.raster for pair in pairs)
        truths = [without_hidden(raster) for raster in found if raster is not None]
        with self.watch.lap("read"):
            images = look.images()
        codec = look.of_codec(self.codec)
        shared = self.transport if codec is self.codec else ""
        move = partial(
            transport_in_rounds,
            *(images, codec, self.operator),
            decoding=self.options.decoding,
            interpolation=self.options.interpolation,
            fold=self.fold,
            generators=self._generators(pairs),
        )
        keys = [pair.picture.member.key for pair in pairs] if self.operator.is_stochastic else []
        one_dial = transported_once(shared, images, self.codec.tile, move, keys)
        one_dial = replace(one_dial, codec=codec)
        with self.watch.lap("read"):
            seen = to_tensor(truths, look.device) if truths else None
        return TwoDials(one_dial, self.options), seen

    def _shown(
        self, made: Made, dials: TwoDials, references: Tensor | None
    ) -> Iterator[tuple[Signal, Tensor]]:
        """Make the images of every signal; yield what the networks of the metrics are to see.

        These are the scored signals and points of curves. Images are dropped before the
        next are made, so that memory does not grow with the number of signals: what is kept of
        them, their pixels as they are written and their latents, is added to ``made``.
        """
        transported = dials.of(CURVE)
        for signal in self.signals:
            with self.watch.lap("transport"):
                images = images_of(signal, transported, references)
            if images is None:
                continue
            made.usable &= finite(images)
            made.pixels[signal] = made.look.pixels(signal, images)
            if signal in self.scored:
                if signal != CODEC_INPUT:
                    made.latents[signal] = latents_of(signal, images, transported)
                yield signal, made.look.seen(signal, images)
        for point in self.curves.seen:
            yield point, made.look.seen(point, dials.of(point).at(point.alpha or 0.0))

    def _generators(self, pairs: Sequence[Pair]) -> list[torch.Generator]:
        """Return a generator for each picture, seeded by its key; none where none is used."""
        if not self.operator.is_stochastic:
            return []
        return [generator_of("transport", self.options.seed, p.picture.member.key) for p in pairs]

    def _measure(
        self, made: Made, size: tuple[int, ...], pairs: Sequence[Pair]
    ) -> dict[Signal, tuple[GaussianMoments, ...]]:
        """Return what the moments of scored signals become with the patches of a batch."""
        patch = patch_size_of(latent_part(rounds_of(self.operator)[0]), self.codec.channels)
        draws = draws_of(pair.picture.member.key for pair in pairs).to(made.usable.device)
        factor = self.codec.factor
        shown = made.look.shown_cells(factor)
        grown = dict[Signal, tuple[GaussianMoments, ...]]()
        for signal, latents in made.latents.items():
            cells = whole_cells(latents, size, factor)
            before = self.gathered.moments[signal]
            chosen = [made.usable & (draws % len(before) == group) for group in range(len(before))]
            grown[signal] = tuple(
                moments + patch_moments(cells[ours], patch, None if shown is None else shown[ours])
                for ours, moments in zip(chosen, before, strict=True)
            )
        return grown
