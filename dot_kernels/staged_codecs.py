"""Codecs whose decoder is a chain of stages, and one of them: the codec of grey images.

Axes: b images, h and w image height and width, c latent channels, y and x latent height and
width, k channels of activations, x2 their width. Images are float in [0, 1].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec
from dot_kernels.stages import Stage, through

S = TypeVar("S")
D = TypeVar("D", bound="DecoderInStages")


@runtime_checkable
class StagedCodec(Codec, Protocol):
    """A codec whose decoder is a chain of stages, between which activations can be moved."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of ``decode``; empty where none are known."""

    def with_stages(self: S, stages: Sequence[Stage]) -> S:
        """The same codec, which decodes by these stages."""

    def activations(
        self, latents: Float[Tensor, "b c y x"], count: int
    ) -> Iterator[Float[Tensor, "b k _ x2"]]:
        """What the first ``count`` stages make of latents, in bands of rows from top to bottom."""


def stages_of(codec: Codec) -> tuple[Stage, ...]:
    """The stages of a codec's decoder; empty if it knows of none."""
    return codec.stages if isinstance(codec, StagedCodec) else ()


def require_stages(codec: Codec) -> StagedCodec:
    """The same codec.

    Raises:
        ValueError: it knows of no stages of its decoder.
    """
    if not isinstance(codec, StagedCodec):
        raise ValueError(
            f"codec must have a decoder in stages, got {type(codec).__name__}, which has none; "
            "use an operator without levels"
        )
    return codec


class DecoderInStages(ABC):
    """What a codec of a network has so that its stages can be replaced."""

    _replaced: tuple[Stage, ...] | None = None
    """The stages that ``decode`` goes through in place of the network's own."""

    @abstractmethod
    def _own_stages(self) -> tuple[Stage, ...]:
        """The stages of the network's decoder; empty where none are known."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of ``decode``: see ``stages.stages_of_module`` for where it is cut."""
        return self._own_stages() if self._replaced is None else self._replaced

    def with_stages(self: D, stages: Sequence[Stage]) -> D:
        """The same codec, which decodes by these stages."""
        other = copy(self)
        other._replaced = tuple(stages)
        return other

    @torch.inference_mode()
    def activations(
        self, latents: Float[Tensor, "b c y x"], count: int
    ) -> Iterator[Float[Tensor, "b k _ x2"]]:
        """What the first ``count`` stages make of latents, in one band, in the network's dtype."""
        yield through(self.stages[:count], latents)


class GreyCodec:
    """A codec whose images are grey: what it decodes is the mean of the channels, three times.

    Of all grey images that is the nearest to what the other codec decodes.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec, self.factor, self.channels = codec, codec.factor, codec.channels

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The latents of the other codec."""
        return self.codec.encode(images)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images of latents, all three channels equal."""
        images = self.codec.decode(latents)
        return images.mean(dim=1, keepdim=True).expand_as(images)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the other codec, whose images are made grey after the last."""
        return stages_of(self.codec)

    def with_stages(self, stages: Sequence[Stage]) -> "GreyCodec":
        """The same of the other codec with these stages."""
        return GreyCodec(require_stages(self.codec).with_stages(stages))

    def activations(
        self, latents: Float[Tensor, "b c y x"], count: int
    ) -> Iterator[Float[Tensor, "b k _ x2"]]:
        """Those of the other codec."""
        yield from require_stages(self.codec).activations(latents, count)
