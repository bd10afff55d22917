"""The network's part of enhancement: every signal of a window of pictures, and what is scored.

A signal is an image to be written or scored: enhanced at an alpha, the input, or a control.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dot_kernels import (
    Codec,
    GaussianMoments,
    Transported,
    TransportOperator,
    patch_moments,
    transport_images,
)
from dot_kernels.enhancement import decode_as, encode_padded, whole_cells, within_range
from dot_kernels.patches import Fold, patch_size_of
from tasks.config.sections import Enhance
from tasks.enhance.pairs import Pair, paired_groups, without_oversized
from tasks.enhance.perception import Networks, distortions_along
from tasks.io.draws import generator_of
from tasks.io.images.pixels import finite, to_tensor
from tasks.io.networks.batches import Batches, no_room
from tasks.io.networks.extractors import Seen
from tasks.io.shards.loader import Picture
from tasks.io.workspace import CONTROLS, Signal
from tasks.jobs.stopwatch import Stopwatch

INPUT, CODEC, CODEC_INPUT = CONTROLS

NOT_FINITE = "network output is not finite: use float32, or check the codec's weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What became of one picture.

    ``curve`` has the metrics of each point of the curve. ``reason`` says why there are
    no images; ``unscored`` why there is no reference.
    """

    picture: Picture
    images: dict[Signal, Tensor] = field(default_factory=dict)
    reference: Tensor | None = None
    lpips: dict[Signal, float] = field(default_factory=dict)
    features: dict[Signal, Seen] = field(default_factory=dict)
    curve: dict[Signal, dict[str, float | None]] = field(default_factory=dict)
    reason: str | None = None
    unscored: str | None = None


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What a pass over a shard has gathered so far; grows with every batch."""

    moments: dict[Signal, GaussianMoments]
    """Of the latent patches of every scored signal: of the latents before decoding for the
    enhanced images, of E(x*) for the input, and of E(D(E(x))) for the codec."""
    redone: Counter[str] = field(default_factory=Counter)
    """How many pictures were rendered a second time, by the manner of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Runs the codec and the transport on pictures, for the wanted signals.

    ``curve`` holds the points of the curve that are wanted; with ``on_curve`` the networks
    of the metrics see each of them too. Pictures whose output is not finite are rendered
    again with the codec that ``precise`` loads, if there is one.
    """

    codec: Codec
    operator: TransportOperator
    options: Enhance
    fold: Fold
    signals: tuple[Signal, ...]
    scored: frozenset[Signal]
    batch: int
    batches: Batches
    networks: Networks
    watch: Stopwatch
    gathered: Gathered
    precise: Callable[[], Codec] | None = None
    curve: tuple[Signal, ...] = ()
    on_curve: bool = False

    @property
    def remarks(self) -> dict[str, int]:
        """Counts for the ledger's record: smaller batches, pictures rendered again in float32."""
        return self.batches.remarks | self.gathered.redone

    def render(
        self, pictures: Sequence[Picture], references: dict[str, Picture], missing: str
    ) -> Iterator[Rendered]:
        """Every picture once, in groups of equal size.

        Args:
            pictures: of one window.
            references: ground truth by key, refused ones included.
            missing: what to say of a picture whose key has no reference.
        """
        usable = without_oversized(pictures, self.options.format)
        for picture in usable:
            if picture.pixels is None:
                yield Rendered(picture=picture, reason=picture.reason)
        for pairs in paired_groups(usable, references, missing, self.batch):
            yield from self._render_pairs(pairs)

    def _render_pairs(self, pairs: Sequence[Pair]) -> Iterator[Rendered]:
        """Pictures of one size, that all have a reference or all have none."""
        to_redo, member = list[Pair](), pairs[0].picture.member
        made = self.batches.run(self._render_batch, pairs, member.width * member.height)
        for pair, rendered in zip(pairs, made, strict=True):
            if rendered is None:
                yield Rendered(picture=pair.picture, reason=no_room(pair.picture))
            elif rendered.reason == NOT_FINITE and self.precise is not None:
                to_redo.append(pair)
            else:
                yield rendered
        if to_redo and self.precise is not None:
            self.gathered.redone["again_in_float32"] += len(to_redo)
            yield from replace(self, codec=self.precise(), precise=None)._render_pairs(to_redo)

    @torch.inference_mode()
    def _render_batch(self, pairs: Sequence[Pair]) -> list[Rendered]:
        """The pictures of a batch; what is gathered grows at the end, when nothing can fail.

        Not a generator: ``inference_mode`` would end before its body begins.
        """
        with self.watch.lap("transport"):
            transported, references = self._transport(pairs)
            rendered = {s: self._image(s, transported, references) for s in self.signals}
            found = {signal: tensor for signal, tensor in rendered.items() if tensor is not None}
        with self.watch.lap("metrics"):
            usable = _all_finite(transported, found.values())
            moments = self._measure(found, transported, usable)
            lpips, features = self._perceive(found, transported, references)
            curve = distortions_along(transported, references, self.curve)
        on_cpu = {signal: tensor.cpu() for signal, tensor in found.items()}
        truth = None if references is None else references.cpu()
        rendered_group = [
            Rendered(
                picture=pair.picture,
                images={signal: tensor[index] for signal, tensor in on_cpu.items()},
                reference=None if truth is None else truth[index],
                lpips={signal: values[index] for signal, values in lpips.items()},
                features={signal: seen[index] for signal, seen in features.items()},
                curve=curve[index],
                unscored=pair.unscored,
            )
            if bool(usable[index])
            else Rendered(picture=pair.picture, reason=NOT_FINITE)
            for index, pair in enumerate(pairs)
        ]
        self.gathered.moments.update(moments)
        return rendered_group

    def _transport(self, pairs: Sequence[Pair]) -> tuple[Transported, Tensor | None]:
        """The batch encoded, transported and decoded, and its references if it has any."""
        group, device = [pair.picture for pair in pairs], self.batches.device
        found = [pair.reference for pair in pairs if pair.reference is not None]
        truths = [reference.pixels for reference in found if reference.pixels is not None]
        with self.watch.lap("read"):
            images = to_tensor([p.pixels for p in group if p.pixels is not None], device)
        transported = transport_images(
            images,
            self.codec,
            self.operator,
            decoding=self.options.decoding,
            interpolation=self.options.interpolation,
            fold=self.fold,
            generators=self._generators(group),
        )
        with self.watch.lap("read"):
            return transported, to_tensor(truths, device) if truths else None

    def _perceive(
        self, found: dict[Signal, Tensor], transported: Transported, references: Tensor | None
    ) -> tuple[dict[Signal, list[float]], dict[Signal, list[Seen]]]:
        """LPIPS and features of the scored signals; images of the curve's points are not kept."""
        lpips, features = dict[Signal, list[float]](), dict[Signal, list[Seen]]()
        points = self.curve if self.on_curve else ()
        compare = self.networks.against(references)
        for signal in (*(s for s in found if s in self.scored), *points):
            images = found.get(signal)
            if images is None:
                images = transported.at(signal.alpha or 0.0)
            if compare is not None:
                lpips[signal] = compare(images).tolist()
            if (seen := self.networks.features(images)) is not None:
                features[signal] = seen
        return lpips, features

    def _generators(self, group: Sequence[Picture]) -> list[torch.Generator]:
        if not self.operator.is_stochastic:
            return []
        return [generator_of("transport", self.options.seed, p.member.key) for p in group]

    def _image(
        self, signal: Signal, transported: Transported, references: Tensor | None
    ) -> Tensor | None:
        """One signal of a group; None for the codec's control without references."""
        if signal.alpha is not None:
            return transported.at(signal.alpha)
        if signal == INPUT:
            return transported.images
        if signal == CODEC_INPUT:
            decoded = transported.codec_images
            if decoded is None:
                decoded = decode_as(transported.latents, transported.images, self.codec)
            return within_range(decoded)
        if references is None:
            return None
        return within_range(
            decode_as(encode_padded(references, self.codec), references, self.codec)
        )

    def _measure(
        self, found: dict[Signal, Tensor], transported: Transported, usable: Tensor
    ) -> dict[Signal, GaussianMoments]:
        """The moments of scored signals, grown by the latent patches of a batch."""
        size = patch_size_of(self.operator, self.codec.channels)
        grown = dict[Signal, GaussianMoments]()
        for signal in self.scored & found.keys():
            if signal == CODEC_INPUT:
                continue
            if signal.alpha is not None:
                mapped, plain = transported.mapped_latents, transported.latents
                latents = (1 - signal.alpha) * mapped + signal.alpha * plain
            elif signal == INPUT:
                latents = transported.latents
            else:
                latents = encode_padded(found[signal], self.codec)
            cells = whole_cells(latents, transported.images, self.codec.factor)
            grown[signal] = self.gathered.moments[signal] + patch_moments(cells[usable], size)
        return grown


def _all_finite(transported: Transported, images: Iterable[Tensor]) -> Tensor:
    """For each picture, whether everything the network made of it is a number."""
    made = [*images, transported.latents, transported.mapped_latents]
    decoded = (transported.codec_images, transported.mapped_images)
    return torch.stack([finite(t) for t in (*made, *decoded) if t is not None]).all(dim=0)
