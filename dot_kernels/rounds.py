"""The method applied again to its own output: rounds, each with an operator of its own.

Axes: b images, h and w image height and width. Images are float in [0, 1].

After Adrai et al. 2023, section 5.3. Round 0 enhances the restored images x_0 = x. Round k begins
with x_k, what round k − 1 made at alpha = 0, and its operator is fitted between latents of such
images and of natural ones. alpha blends the restored images with what the last round makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec
from dot_kernels.diagnostics import TransportDiagnostics
from dot_kernels.dials import LowBand, with_low_band
from dot_kernels.enhancement import Decoding, Interpolation, Transported, transport_images
from dot_kernels.levels import Operator
from dot_kernels.patches import Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """How a round makes the images that the next one begins with: at alpha = 0, as is said here."""

    decoding: Decoding = "residual"
    fold: Fold = "uniform"
    low_band: LowBand | None = None
    """What low frequencies do; None where they move as high ones do."""


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedOperator:
    """The operators of two rounds or more, in their order."""

    rounds: tuple[Operator, ...]
    """Each fitted on what those before it have made."""
    between: Between

    def __post_init__(self) -> None:
        if len(self.rounds) < 2:
            raise ValueError(f"rounds must be two at least, got {len(self.rounds)}")

    @property
    def dimension(self) -> int:
        """Number of features of a latent patch."""
        return self.rounds[0].dimension

    @property
    def is_stochastic(self) -> bool:
        """Whether a round adds noise, and so needs a random generator."""
        return any(each.is_stochastic for each in self.rounds)

    @property
    def diagnostics(self) -> TransportDiagnostics:
        """Those of the map of latents of round 0."""
        return self.rounds[0].diagnostics


AnyOperator = Operator | RepeatedOperator
"""What moves images, in one round or in several."""


def rounds_of(operator: AnyOperator) -> tuple[Operator, ...]:
    """The operators of all rounds, in their order."""
    return operator.rounds if isinstance(operator, RepeatedOperator) else (operator,)


def generators_of_round(
    generators: Sequence[torch.Generator], number: int
) -> list[torch.Generator]:
    """Generators of the noise of one round: those that are given in round 0, then fresh ones.

    Noise of a round depends on the seeds of the given ones only, not on what was drawn before.

    Args:
        generators: one per image, on the CPU.
        number: of the round.
    """
    if number == 0:
        return list(generators)
    seeds = [(each.initial_seed() + number) % 2**63 for each in generators]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def images_after(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    rounds: Sequence[Operator],
    between: Between,
    generators: Sequence[torch.Generator] = (),
) -> Float[Tensor, "b 3 h w"]:
    """What rounds make of restored images at alpha = 0, in [0, 1]: what the next begins with.

    Args:
        images: restored images in [0, 1], of any size.
        codec: that the operators were fitted with.
        rounds: their operators, one at least.
        between: how each makes its images.
        generators: one per image on the CPU; only used by stochastic operators.

    Raises:
        ValueError: as ``transport_images``.
    """
    return _after(images, codec, rounds, between, generators)[1]


def transport_in_rounds(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    operator: AnyOperator,
    *,
    decoding: Decoding = "residual",
    interpolation: Interpolation = "image",
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Transported:
    """Images after all rounds of an operator, to be interpolated at any alpha.

    Of one round that is ``transport_images``. Of more, with r the direction of the last, which
    begins with x_n, ``at(alpha)`` is (1 − alpha)(x_n + r) + alpha x, clipped to [0, 1]. The latents
    are those of x, and those that the last round decodes.

    Args:
        images: restored images in [0, 1], of any size.
        codec: that the operator was fitted with.
        operator: of one round or of several.
        decoding: of the last round; that of those before is part of the operator.
        interpolation: ``latent`` is for a single round only.
        fold: weights of overlapping patches in the last round.
        generators: one per image on the CPU; only used by a stochastic operator.

    Raises:
        ValueError: as ``transport_images``, or several rounds are to be interpolated as latents.
    """
    move = partial(transport_images, codec=codec, decoding=decoding, fold=fold)
    if not isinstance(operator, RepeatedOperator):
        return move(images, operator=operator, interpolation=interpolation, generators=generators)
    if interpolation != "image":
        raise ValueError("several rounds must be interpolated as images, got latent interpolation")
    *before, last = operator.rounds
    latents, begun = _after(images, codec, before, operator.between, generators)
    moved = move(begun, operator=last, generators=generators_of_round(generators, len(before)))
    return after_last(images, begun, moved, latents)


def after_last(
    images: Float[Tensor, "b 3 h w"],
    begun: Float[Tensor, "b 3 h w"],
    moved: Transported,
    latents: Float[Tensor, "b c y x"],
) -> Transported:
    """The last of several rounds, as seen from the restored images.

    Args:
        images: the restored images x, or a band of rows of them.
        begun: what the last round begins with, the same rows.
        moved: the last round, the same rows.
        latents: E x.
    """
    change = moved.direction()
    return Transported(
        images=images,
        latents=latents,
        mapped_latents=moved.mapped_latents,
        codec_images=None,
        mapped_images=None if change is None else begun + change,
        codec=moved.codec,
        last_change=change,
    )


def _after(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    rounds: Sequence[Operator],
    between: Between,
    generators: Sequence[torch.Generator],
) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b 3 h w"]]:
    """The latents of restored images, and what rounds make of them at alpha = 0."""
    latents = torch.empty(0)
    for number, operator in enumerate(rounds):
        moved = transport_images(
            images,
            codec,
            operator,
            decoding=between.decoding,
            fold=between.fold,
            generators=generators_of_round(generators, number),
        )
        latents = latents if number else moved.latents
        images = with_low_band(moved, between.low_band).at(0.0)
    return latents, images
