"""What a step of a training draws: which images, and where in them, by its number and the seed.

A draw says where the images lie; they are read, cut and degraded by ``tasks.train.batches``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch

from dot_kernels.sampling import total_downscaling
from tasks.io.catalogue import sample
from tasks.io.catalogue.sampling import hash_of
from tasks.io.draws import generator_of
from tasks.io.errors import CorpusError
from tasks.io.shards import Member
from tasks.io.workspace import Workspace
from tasks.train.job import TrainJob
from tasks.train.positions import Positions

_MOST_TRIES = 1000
"""Images that are drawn in vain, as they are too small or held out, before none is looked for."""

_MOST_SHARE = 5
"""Of so many images one is held out, at most."""


class Draw(NamedTuple):
    """One example of a step: the images that its crops are of, and what draws all the rest."""

    degraded: Member
    """The degraded image, or the clean one that is degraded."""
    clean: Member
    """The same image where the training is paired."""
    generator: torch.Generator
    """Draws the place of the crops, and noise; on the CPU."""


class Share(NamedTuple):
    """Which part of each batch is this process's, of several that share it."""

    number: int
    processes: int

    def of(self, batch: int) -> range:
        """Return the places in a batch."""
        return range(self.number, batch, self.processes)


WHOLE = Share(0, 1)
"""All of each batch."""


@dataclass
class Draws:
    """Draws the images of a training; for one thread alone."""

    job: TrainJob
    workspace: Workspace
    share: Share = WHOLE
    """Which examples of a step are drawn."""

    def of_step(self, step: int) -> Iterator[Draw]:
        """Yield the examples of a step.

        Raises:
            CorpusError: no images are found that can be trained on.
        """
        for place in self.share.of(self.job.train.batch):
            yield self._drawn(generator_of("train", self.job.train.seed, f"{step} {place}"))

    def held_out(self) -> list[Draw]:
        """Return the examples that no step draws; none of images that are not known in pairs."""
        job, found = self.job, list[Draw]()
        for key in sorted(self._held_out):
            generator = generator_of("validate", job.train.seed, key)
            image = self._sources.named(key)
            twin = image if job.degraded is None else self._clean.named(key)
            if image and twin and self._is_large(image, self._factor) and self._is_large(twin):
                found.append(Draw(image, twin, generator))
        return found

    def _drawn(self, generator: torch.Generator) -> Draw:
        job = self.job
        if job.degraded is not None:
            image = self._chosen(self._sources, generator, self._is_known)
            twin = self._clean.named(image.key) if job.is_paired else None
            return Draw(
                image, twin or self._chosen(self._clean, generator, self._is_free), generator
            )
        if job.is_paired:
            image = self._chosen(self._clean, generator, self._is_free)
            return Draw(image, image, generator)
        first, second = (
            self._chosen(self._clean, generator, partial(self._is_free_in, half)) for half in (0, 1)
        )
        return Draw(first, second, generator)

    def _chosen(
        self, images: Positions, generator: torch.Generator, fits: Callable[[Member], bool]
    ) -> Member:
        """Return the first of images in random order that fits.

        Raises:
            CorpusError: none is found.
        """
        for _ in range(_MOST_TRIES if len(images) else 0):
            member = images.at(int(torch.randint(len(images), (), generator=generator)))
            if fits(member):
                return member
        raise CorpusError(self._complaint(images))

    def _complaint(self, images: Positions) -> str:
        """Return the sentence that there is nothing to train on among images."""
        job, side = self.job, self.job.train.crop
        small = side // self._factor if images is self._sources else side
        asked = f"of {small} × {small} pixels or more"
        if job.is_paired and job.degraded is not None:
            asked += f" with a clean image of its key in {job.clean!r}"
        remedy = "lower restore.train.crop, or give corpora.training more or larger images"
        if not job.is_paired and job.degraded is None:
            asked += " in both halves that unpaired training divides it into"
            remedy += ", or write restore.train.pairing: paired"
        return (
            f"{images.dataset!r} must hold images to train on, {asked}, got none among "
            f"{min(_MOST_TRIES, len(images))} of {len(images)} that were looked at; {remedy}"
        )

    def _is_known(self, member: Member) -> bool:
        """Whether a degraded image may be drawn; where pairs are wanted, as one of them."""
        if member.key in self._held_out or not self._is_large(member, self._factor):
            return False
        if not self.job.is_paired:
            return True
        twin = self._clean.named(member.key)
        return twin is not None and self._is_large(twin)

    def _is_free(self, member: Member) -> bool:
        return member.key not in self._held_out and self._is_large(member)

    def _is_free_in(self, half: int, member: Member) -> bool:
        """Whether an image may be drawn as one of that half of them which its hash puts it in."""
        own = hash_of(member.key, self.job.train.seed)[-1] & 1
        return own == half and self._is_free(member)

    def _is_large(self, member: Member, factor: int = 1) -> bool:
        """Whether an image that is a factor smaller than its restored one is as large as a crop."""
        return min(member.height, member.width) * factor >= self.job.train.crop

    @cached_property
    def _clean(self) -> Positions:
        return Positions(self.workspace, self.job.clean)

    @cached_property
    def _sources(self) -> Positions:
        degraded = self.job.degraded
        return self._clean if degraded is None else Positions(self.workspace, degraded)

    @cached_property
    def _factor(self) -> int:
        """How many times as large as the images that are drawn the restored ones are."""
        return 1 if self.job.degraded is None else total_downscaling(self.job.undoes)

    @cached_property
    def _held_out(self) -> frozenset[str]:
        """The keys of the images that are held out: those with the lowest hashes.

        None where it is not known what they look like before they are degraded.
        """
        images, is_known = self._sources, bool(self.job.degrade) or self.job.is_paired
        count = min(self.job.train.validation, len(images) // _MOST_SHARE) if is_known else 0
        keys = self.workspace.keys(images.dataset) if count else iter(())
        return frozenset(place.key for place in sample(keys, count, self.job.train.seed))
