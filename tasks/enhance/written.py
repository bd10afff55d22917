"""Metrics of images that an earlier pass wrote without loss, computed without the auto-encoder.

The pass measures images as their readers have them, at the depth that is written, so the numbers
are the same. What only the networks of the pass can tell is taken from what the tables were before:
which pictures were refused, and the moments of latent patches.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch

from dot_kernels import GaussianMoments, SeamError
from tasks.enhance.features import read_sums
from tasks.enhance.large.perception import seen_in_tiles
from tasks.enhance.outputs import Output, Written
from tasks.enhance.pairs import Pair, Rendered, Window, paired_groups, without_unwritable
from tasks.enhance.perception import Networks, perceive
from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ArtifactDamaged, ShardDamaged
from tasks.io.images import Form, Limits, Pixels
from tasks.io.images.pixels import to_tensor
from tasks.io.images.transparency import opacity, over_white
from tasks.io.networks.batches import Batches, no_room
from tasks.io.shards import Member, members_of, read_index
from tasks.io.shards.loader import LARGEST_IN_MEMORY, load_pictures
from tasks.io.workspace import INPUT, Signal, Workspace
from tasks.jobs.stopwatch import Stopwatch


class WrittenSignal(NamedTuple):
    """What an earlier pass has left of a signal."""

    members: dict[str, Member]
    """Where its images lie, by key; none for the input, whose images are the restored ones."""
    refused: dict[str, str]
    """Why pictures were refused, by key."""
    moments: tuple[GaussianMoments, ...]
    """Of its latent patches, by groups of images or of all together."""

    @classmethod
    def of(cls, workspace: Workspace, table: Output) -> "WrittenSignal | None":
        """Return what is left; None where that is not all, or was made from something else.

        Args:
            workspace: where it lies.
            table: of metrics, that is to be made again.
        """
        written = table.written
        if written is None or not _is_made(workspace, written):
            return None
        records = workspace.ledger.records(table.target.artifact)
        facts = workspace.ledger.facts(records[0]) if len(records) == 1 else {}
        if facts.get("latents") != table.latents or written.moments not in facts["files"]:
            return None
        columns = ["key", "status", "reason"]
        try:
            moments = read_sums(workspace.store, written.moments)
            rows = read_table(workspace.store, f"{table.target.artifact}.parquet", columns)
        except (FileNotFoundError, ArtifactDamaged):
            return None
        lost = {r["key"]: r["reason"] for r in rows.to_pylist() if r["status"] == "refused"}
        if table.signal == INPUT:
            return cls({}, lost, moments)
        index = read_index(workspace.store, f"{written.artifact}.parquet")
        members = members_of(index, written.artifact.rpartition("/")[0])
        return cls({member.key: member for member in members}, lost, moments)


WrittenSignals = Mapping[Signal, WrittenSignal]
"""What is left of some signals; none of them where the auto-encoder makes all images."""


def _is_made(workspace: Workspace, written: Written) -> bool:
    """Return whether what is to hold the images has one record, and of just these images."""
    records = workspace.ledger.records(written.artifact)
    return [record.fingerprint for record in records] == [written.fingerprint]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenImages:
    """The images of some signals of a shard as they were written, and their metrics."""

    workspace: Workspace
    signals: WrittenSignals
    networks: Networks
    form: Form
    limits: Limits
    batch: int
    batches: Batches
    watch: Stopwatch

    @property
    def remarks(self) -> dict[str, int]:
        """Counts for the ledger's record: smaller batches."""
        return self.batches.remarks

    @property
    def seams(self) -> SeamError:
        """None: no tiles are blended here."""
        return SeamError()

    @property
    def moments(self) -> dict[Signal, tuple[GaussianMoments, ...]]:
        """Moments of the latent patches of each signal, as they were."""
        return {signal: left.moments for signal, left in self.signals.items()}

    def load(self, members: Sequence[Member], pool: Executor) -> dict[Signal, dict[str, Pixels]]:
        """Return the written images of some restored ones, by signal and key.

        Raises:
            ShardDamaged: one cannot be read.
        """
        found = dict[Signal, dict[str, Pixels]]()
        for signal, left in self.signals.items():
            mine = [left.members[m.key] for m in members if m.key in left.members]
            found[signal] = {}
            # A file without loss may be larger than those that are accepted.
            most = max([self.limits.max_bytes, *(member.size for member in mine)])
            limits = replace(self.limits, max_bytes=most)
            for picture in load_pictures(self.workspace.store, mine, limits, pool):
                if picture.pixels is None:
                    raise ShardDamaged(
                        f"{picture.member.file} must hold an image of {picture.member.key!r}, but "
                        f"it cannot be read: {picture.reason}; run `dotpipe verify CONFIG`, then "
                        "`dotpipe repair CONFIG`"
                    )
                found[signal][picture.member.key] = picture.pixels
        return found

    def render(self, window: Window, missing: str) -> Iterator[Rendered]:
        """Yield every picture with its written images and what the networks say of them.

        Args:
            window: pictures, with what ``load`` returned for them.
            missing: what to say of a picture whose key has no reference.
        """
        refused = {k: why for left in self.signals.values() for k, why in left.refused.items()}
        usable = [
            picture.refused(refused[picture.member.key])
            if picture.member.key in refused and picture.pixels is not None
            else picture
            for picture in without_unwritable(window.pictures, self.form)
        ]
        for picture in usable:
            if picture.pixels is None:
                yield Rendered(picture=picture, reason=picture.reason)
        score = partial(self._score, window)
        for pairs in paired_groups(usable, window.references, missing, self.batch):
            member = pairs[0].picture.member
            made = self.batches.run(score, pairs, member.width * member.height)
            for pair, rendered in zip(pairs, made, strict=True):
                lost = Rendered(picture=pair.picture, reason=no_room(pair.picture))
                yield lost if rendered is None else rendered

    @torch.inference_mode()
    def _score(self, window: Window, pairs: Sequence[Pair]) -> list[Rendered]:
        """Return the pictures of a batch, in their order."""
        images = {signal: self._images(signal, window, pairs) for signal in self.signals}
        if pairs[0].raster.height * pairs[0].raster.width > LARGEST_IN_MEMORY:
            return [self._score_large(images, index, pair) for index, pair in enumerate(pairs)]
        found = [pair.reference for pair in pairs if pair.reference is not None]
        alpha = opacity([pair.raster for pair in pairs], self.batches.device)
        truths = self._tensor((reference.pixels for reference in found), alpha) if found else None
        with self.watch.lap("metrics"):
            shown = ((signal, self._tensor(pixels, alpha)) for signal, pixels in images.items())
            marks, features = perceive(self.networks, shown, truths, alpha)
        return [
            Rendered(
                picture=pair.picture,
                images={signal: pixels[index] for signal, pixels in images.items()},
                reference=None if pair.reference is None else pair.reference.pixels,
                marks={signal: values[index] for signal, values in marks.items()},
                features={signal: seen[index] for signal, seen in features.items()},
                unscored=pair.unscored,
            )
            for index, pair in enumerate(pairs)
        ]

    def _score_large(
        self, images: Mapping[Signal, Sequence[Pixels]], index: int, pair: Pair
    ) -> Rendered:
        """Return a large picture: one of a batch, which has this place in the images."""
        own = {signal: pixels[index] for signal, pixels in images.items()}
        truth = None if pair.reference is None else pair.reference.pixels
        with self.watch.lap("metrics"):
            marks, features = seen_in_tiles(
                self.networks, own, truth, pair.raster, self.batches.device
            )
        return Rendered(
            picture=pair.picture,
            images=own,
            reference=truth,
            marks=marks,
            features=features,
            unscored=pair.unscored,
        )

    def _images(self, signal: Signal, window: Window, pairs: Sequence[Pair]) -> list[Pixels]:
        """Return the images of a signal, of the pictures of a batch.

        Raises:
            ShardDamaged: one is missing.
        """
        if signal == INPUT:
            return [pair.picture.pixels for pair in pairs if pair.picture.pixels is not None]
        written = window.written[signal]
        for pair in pairs:
            if (key := pair.picture.member.key) not in written:
                raise ShardDamaged(
                    f"the enhanced shard at {signal.label} must hold {key!r}, as its metrics say, "
                    "but does not; run `dotpipe verify CONFIG`, then `dotpipe repair CONFIG`"
                )
        return [written[pair.picture.member.key] for pair in pairs]

    def _tensor(self, pixels: Iterable[Pixels | None], alpha: torch.Tensor | None) -> torch.Tensor:
        found = [image for image in pixels if image is not None]
        return over_white(to_tensor(found, self.batches.device), alpha)
