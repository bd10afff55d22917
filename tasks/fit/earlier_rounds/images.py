"""Restored images of the fit go in; what earlier rounds make of them comes out.

Axes: b images, h and w their height and width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dot_kernels import GreyCodec
from dot_kernels.levels import Operator
from dot_kernels.rounds import Between, images_after
from dot_kernels.rounds_in_bands import Bands, images_after_in_bands
from tasks.io.draws import generator_of
from tasks.io.shards.loader import Picture
from tasks.jobs.stopwatch import TimedCodec


class After(BaseModel):
    """Which rounds images have gone through before they are measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    """Artifact of the operator of these rounds."""
    between: Between
    """How each round makes its images."""
    seed: int
    """Of the noise of stochastic operators."""


@dataclass(frozen=True, kw_only=True)
class EarlierRounds:
    """Renders images as the pass does, by the same networks."""

    operators: Sequence[Operator]
    between: Between
    seed: int

    def images(self, images: Tensor, pictures: Sequence[Picture], codec: TimedCodec) -> Tensor:
        """Return what the rounds make of images (b, 3, h, w) in [0, 1].

        Args:
            images: of the pictures.
            pictures: of one kind, whose keys seed noise.
            codec: in whose precision it is done.
        """
        used = GreyCodec(codec) if _is_grey(pictures[0]) else codec
        with torch.inference_mode():
            return images_after(images, used, self.operators, self.between, self._draws(pictures))

    def bands(
        self,
        image: Callable[[], Iterable[Tensor]],
        size: tuple[int, int],
        picture: Picture,
        codec: TimedCodec,
    ) -> Bands:
        """Return what the rounds make of a large image, band by band.

        Args:
            image: gives it band by band; it is called several times.
            size: its height and width.
            picture: that it is of.
            codec: see ``images``.
        """
        _, bands = images_after_in_bands(
            image,
            size,
            codec,
            self.operators,
            self.between,
            self._draws([picture]),
            is_grey=_is_grey(picture),
        )
        return bands

    def _draws(self, pictures: Sequence[Picture]) -> list[torch.Generator]:
        """Return a generator for each picture; none where none is used."""
        if not any(each.is_stochastic for each in self.operators):
            return []
        return [generator_of("transport", self.seed, p.member.key) for p in pictures]


def _is_grey(picture: Picture) -> bool:
    return picture.raster is not None and picture.raster.is_grey
