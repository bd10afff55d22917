"""Transport of a decoder's activations, level after level, after that of latents.

Axes: b images, c latent channels, y and x latent height and width, k channels of a level.

Beyond the paper. A transport of latents leaves what the decoder makes of them to chance: moved
latents are not natural ones, and the decoder was never trained on them. So its activations are
moved too, at each level (``stages``), by the Gaussian map from what the decoder shows for moved
restored latents to what it shows for natural ones. Each map is fitted on the output of those
before, so the levels are fitted in their order. Statistics are moments, and so they merge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec
from dot_kernels.diagnostics import TransportDiagnostics
from dot_kernels.latent_transport import transport_latents
from dot_kernels.local_layers import LocalLayer
from dot_kernels.patches import Fold, patch_size_of
from dot_kernels.staged_codecs import require_stages, stages_of
from dot_kernels.stages import Stage
from dot_kernels.transport import TransportOperator

C = TypeVar("C", bound=Codec)


@dataclass(frozen=True, slots=True, eq=False)
class LevelledOperator:
    """A map of latent patches, and maps of the decoder's activations at some of its levels."""

    latent: TransportOperator
    """Applied to latents, before they are decoded."""
    levels: Mapping[int, TransportOperator]
    """By level, each fitted on the output of those below; without noise."""

    def __post_init__(self) -> None:
        if any(operator.is_stochastic for operator in self.levels.values()):
            raise ValueError(
                "operators of levels must be without noise, got a stochastic one; "
                "solve them with solve_level"
            )
        object.__setattr__(self, "levels", dict(sorted(self.levels.items())))

    @property
    def dimension(self) -> int:
        """Number of features of a latent patch."""
        return self.latent.dimension

    @property
    def is_stochastic(self) -> bool:
        """Whether the map of latents adds noise, and so needs a random generator."""
        return self.latent.is_stochastic

    @property
    def diagnostics(self) -> TransportDiagnostics:
        """Those of the map of latents; the map of each level has its own."""
        return self.latent.diagnostics

    def below(self, level: int) -> "LevelledOperator":
        """The maps of latents and of the levels below one: what the one is fitted after."""
        return LevelledOperator(self.latent, {k: o for k, o in self.levels.items() if k < level})


Operator = TransportOperator | LevelledOperator
"""What moves images: with maps at levels of the decoder, or of latents alone."""


def latent_part(operator: Operator) -> TransportOperator:
    """The map of latents."""
    return operator.latent if isinstance(operator, LevelledOperator) else operator


def level_parts(operator: Operator) -> Mapping[int, TransportOperator]:
    """The maps of levels, in their order; none if latents alone are moved."""
    return operator.levels if isinstance(operator, LevelledOperator) else {}


def level_channels(codec: Codec) -> tuple[int, ...]:
    """Channels of the activations at each level of a codec; empty if it has no levels."""
    return tuple(stage.channels for stage in stages_of(codec)[:-1])


def with_levels(codec: C, operator: Operator, *, alpha: float = 0.0, fold: Fold = "uniform") -> C:
    """The codec that moves its activations at the operator's levels as it decodes.

    Its chain of local layers, where it has one, is again such a chain, so tiles stay exact.

    Args:
        codec: that the operator was fitted with; itself returned if there are no levels.
        operator: of which the maps of levels are used.
        alpha: each map is (1 − alpha) of the map and alpha of the identity.
        fold: weights of overlapping patches, see ``Fold``.

    Raises:
        ValueError: the codec has no such levels, or activations of other channels there.
    """
    parts = level_parts(operator)
    if not parts:
        return codec
    stages = list(stages_with(codec, parts))
    for level, part in parts.items():
        size = patch_size_of(part, stages[level].channels)
        layer = LocalLayer(
            apply=partial(_moved, operator=part, alpha=alpha, fold=fold),
            channels=stages[level].channels,
            kernel=2 * size - 1,
            padding=size - 1,
        )
        stages[level] = stages[level].then(layer)
    return require_stages(codec).with_stages(stages)  # type: ignore[return-value]


def least_side(operator: Operator, codec: Codec) -> int:
    """Height and width, in latent pixels, from which on every map finds a whole patch."""
    parts = level_parts(operator)
    stages = stages_with(codec, parts) if parts else ()
    sides = [
        -(-patch_size_of(part, stages[level].channels) // scale_of(stages, level))
        for level, part in parts.items()
    ]
    return max(patch_size_of(latent_part(operator), codec.channels), *sides, 1)


def stages_with(codec: Codec, levels: Iterable[int]) -> tuple[Stage, ...]:
    """The stages of a codec that has these levels.

    Raises:
        ValueError: it does not have them all.
    """
    stages, asked = stages_of(codec), sorted(levels)
    count = max(len(stages) - 1, 0)
    if not all(0 <= level < count for level in asked):
        raise ValueError(
            f"levels must be among the {count} that the decoder of the codec has, counted from 0, "
            f"got {asked}; use the codec that the operator was fitted with, or no levels"
        )
    return stages


def scale_of(stages: Sequence[Stage], level: int) -> int:
    """Pixels of a level per latent pixel, along each side."""
    return prod(stage.upsampling for stage in stages[: level + 1])


def _moved(
    activations: Float[Tensor, "b k y x"], operator: TransportOperator, alpha: float, fold: Fold
) -> Float[Tensor, "b k y x"]:
    """Activations after the map of their level; at least in float32, in their dtype again."""
    precise = activations.float() if activations.element_size() < 4 else activations
    mapped = transport_latents(precise, operator, fold=fold)
    return torch.lerp(mapped, precise, alpha).to(activations) if alpha else mapped.to(activations)
