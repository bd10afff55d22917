"""Batches on their way to the networks: images are read by their offsets, cut, and degraded.

While the networks compute a step, another thread draws, reads and cuts the next, with the help
of a pool and of the processes that decode.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dot_kernels.degradations import degrade
from dot_kernels.sampling import total_downscaling
from tasks.io.errors import CorpusError, ImageRefused
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import to_tensor
from tasks.io.images.transparency import without_hidden
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.residual_transport.restorer import enlarged
from tasks.io.shards import Member, read_members
from tasks.io.workspace import Workspace
from tasks.train.draws import Draw, Draws
from tasks.train.job import TrainJob


class Batch(NamedTuple):
    """Crops of one step, or of images that are held out."""

    degraded: Tensor
    """Float (b, 3, c, c) on the CPU, enlarged where they were smaller; noise may leave [0, 1]."""
    clean: Tensor
    """Float (b, 3, c, c) in [0, 1]: the same crops before where the training is paired."""


@dataclass(frozen=True)
class Batches:
    """Makes the batches of a training."""

    job: TrainJob
    workspace: Workspace
    draws: Draws
    pool: Executor
    """Reads and cuts images side by side."""

    def of_steps(self, steps: Iterable[int]) -> Iterator[Batch]:
        """Yield the batch of each step; the next is made while one is used.

        Raises:
            CorpusError: there is nothing to train on, or an image cannot be used.
            ShardDamaged: a tar is not there, or does not hold what its index says.
        """
        return read_ahead(self._of_step, steps)

    def held_out(self) -> Iterator[Batch]:
        """Yield the batches of the examples that no step draws, of the middle of their images."""
        draws, size = self.draws.held_out(), self.job.train.batch
        for start in range(0, len(draws), size):
            yield self._together(draws[start : start + size], is_central=True)

    def _of_step(self, step: int) -> Batch:
        return self._together(list(self.draws.of_step(step)), is_central=False)

    def _together(self, draws: Sequence[Draw], *, is_central: bool) -> Batch:
        made = self.pool.map(lambda draw: self._crops(draw, is_central=is_central), draws)
        degraded, clean = zip(*made, strict=True)
        return Batch(torch.stack(degraded), torch.stack(clean))

    def _crops(self, draw: Draw, *, is_central: bool) -> tuple[Tensor, Tensor]:
        """Return the degraded crop of an example, as large as the clean one, and that."""
        job, side, generator = self.job, self.job.train.crop, draw.generator
        factor = total_downscaling(job.undoes) if job.degraded is not None else 1
        image = self._image(draw.degraded)
        top, left = _corner(image, side // factor, generator, is_central=is_central)
        crop = _cut(image, top, left, side // factor)
        if draw.clean is draw.degraded:
            clean = crop
        else:
            other = self._image(draw.clean)
            if job.is_paired:
                _require_pair(draw, image, other, factor)
                place = top * factor, left * factor
            else:
                place = _corner(other, side, generator, is_central=is_central)
            clean = _cut(other, *place, side)
        seen = degrade(crop, job.degrade, generator) if job.degrade else crop
        return enlarged(seen[None], job.undone)[0], clean

    def _image(self, member: Member) -> Tensor:
        """Return an image (3, h, w), float in [0, 1].

        Raises:
            CorpusError: it cannot be decoded, though it was accepted.
        """
        ((_, data),) = read_members(self.workspace.store, [member])
        try:
            return to_tensor([without_hidden(decode(data, self.job.limits))])[0]
        except ImageRefused as refusal:
            raise CorpusError(
                f"{member.key} must be an image to train on, got one: {refusal}"
            ) from refusal


def _corner(
    image: Tensor, side: int, generator: torch.Generator, *, is_central: bool
) -> tuple[int, int]:
    """Return the first row and column of a square: that in the middle, or drawn."""
    rooms = [length - side for length in image.shape[1:]]
    if is_central:
        return rooms[0] // 2, rooms[1] // 2
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in rooms)
    return top, left


def _cut(image: Tensor, top: int, left: int, side: int) -> Tensor:
    return image[:, top : top + side, left : left + side].contiguous()


def _require_pair(draw: Draw, degraded: Tensor, clean: Tensor, factor: int) -> None:
    """Check that a clean image is as large as its degraded one is when it is enlarged.

    Raises:
        CorpusError: it is not.
    """
    (height, width), (high, wide) = degraded.shape[1:], clean.shape[1:]
    if (height * factor, width * factor) != (high, wide):
        size = "as large as" if factor == 1 else f"{factor} times as large as"
        raise CorpusError(
            f"a clean image must be {size} its degraded one for paired training, but "
            f"{draw.clean.key} has {high}×{wide} pixels and its degraded one {height}×{width}; "
            "crop or resize the corpora, say it in restore.undoes, or write "
            "restore.train.pairing: unpaired"
        )
