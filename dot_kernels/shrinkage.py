"""Maps fitted on few images, taken toward the identity as far as their halves disagree.

Axes: d features of one sample, such as a latent patch.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.diagnostics import diagnose
from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.transport import TransportOperator, solve_map

_SPLITS = 10
"""Into how many random halves the images are split, each crosswise too."""


class Shrinkage(NamedTuple):
    """How far a map is taken toward the identity: 0 is the map as it is, 1 no map."""

    matrix: float
    """Of the matrix: (1 − t) T + t I."""
    mean: float
    """Of the shift between the means: the target's becomes (1 − t) μ₂ + t μ₁."""

    @classmethod
    def of(cls, amount: float) -> "Shrinkage":
        """The same amount of both."""
        return cls(amount, amount)


def shrink(
    operator: TransportOperator,
    source: GaussianMoments,
    target: GaussianMoments,
    amount: Shrinkage,
) -> TransportOperator:
    """The operator taken toward the identity, with diagnostics of what it then does.

    (1 − t) T + t I, the target's mean (1 − s) μ₂ + s μ₁, and noise of (1 − t)² Σ_w, where t and s
    are ``amount.matrix`` and ``amount.mean``. With t = s every patch goes 1 − t of its way.

    Args:
        operator: from ``solve_transport``.
        source: moments that it was solved for.
        target: the same.
        amount: itself returned unchanged where both are 0.

    Raises:
        ValueError: an amount is not in [0, 1].
    """
    if not all(0 <= share <= 1 for share in amount):
        raise ValueError(f"amounts of shrinkage must be in [0, 1], got {tuple(amount)}")
    if amount == Shrinkage.of(0.0):
        return operator
    matrix = torch.lerp(operator.matrix, _identity(operator.matrix), amount.matrix)
    mean = torch.lerp(operator.target_mean, operator.source_mean, amount.mean)
    noise = operator.noise_covariance
    noise = None if noise is None else (1 - amount.matrix) ** 2 * noise
    told = diagnose(source, target, matrix, noise, operator.diagnostics.ridge, mean=mean)
    return TransportOperator(matrix, operator.source_mean, mean, noise, told)


def split_half_shrinkage(
    source: Sequence[GaussianMoments], target: Sequence[GaussianMoments], *, ridge: float
) -> Shrinkage | None:
    """The amounts that make the expected squared error of the map least, by cross-validation.

    Images of both sides are split into halves at random, and a map is fitted to each. With
    D = T − I and the source's covariance Σ₁, the halves a and b have

        c = tr(D_a Σ₁ D_bᵀ)  and  v = ½ tr(D_a Σ₁ D_aᵀ) + ½ tr(D_b Σ₁ D_bᵀ),

    averaged over splits. The share 1 − t of one half's D that is nearest to the other half's, in
    the mean square over source patches, is c/v. Errors of halves are independent, and have twice
    the variance of those of all images together, for which it is therefore 2c/(c + v): the
    prophecy formula of Spearman and Brown (1910). The shift μ₂ − μ₁ is treated alike, by inner
    products. An amount is 1 where halves do not agree at all (c ≤ 0). What halves have
    in common, as the ridge's share of the error, is not seen.

    The two sides must not depend on each other: of an image and its reference the errors of
    both halves' sides cancel, and every map is nearly right.

    Args:
        source: moments of each restored image, in the order of keys.
        target: moments of each natural image, in the order of keys.
        ridge: as for ``solve_transport``.

    Returns:
        The amounts, or None where a side has fewer than two images, or no map can be solved for
        a half, as with too few patches.
    """
    if min(len(source), len(target)) < 2:
        return None
    covariance = merge(source).covariance()
    sums = torch.zeros(2, 2, dtype=torch.float64)
    try:
        for halves in _halves(source, target):
            sums += _agreement(*halves, covariance, ridge)
    except ValueError:  # too few patches, or only equal ones, are in a half
        return None
    return Shrinkage(*(_amount(float(common), float(own)) for common, own in sums))


Sides = tuple[GaussianMoments, GaussianMoments]
"""Moments of source and target."""


def _halves(
    source: Sequence[GaussianMoments], target: Sequence[GaussianMoments]
) -> Iterator[tuple[Sides, Sides]]:
    """Pairs of disjoint halves of both sides; the same ones for as many images."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(_SPLITS):
        (a, b), (c, d) = (_in_two(side, generator) for side in (source, target))
        yield (a, c), (b, d)
        yield (a, d), (b, c)


def _in_two(images: Sequence[GaussianMoments], generator: torch.Generator) -> Sides:
    order = torch.randperm(len(images), generator=generator).tolist()
    middle = len(order) // 2
    return merge(images[i] for i in order[:middle]), merge(images[i] for i in order[middle:])


def _agreement(
    a: Sides, b: Sides, covariance: Float64[Tensor, "d d"], ridge: float
) -> Float64[Tensor, "2 2"]:
    """For the matrix and for the shift, what two maps have in common, and one with itself."""
    matrices = [solve_map(*sides, ridge=ridge)[0] for sides in (a, b)]
    first, second = (matrix - _identity(matrix) for matrix in matrices)
    shifts = [target.mean - source.mean for source, target in (a, b)]

    def product(one: Tensor, other: Tensor) -> Tensor:
        return (one @ covariance * other).sum()

    own = (product(first, first) + product(second, second)) / 2
    own_shift = (shifts[0].square().sum() + shifts[1].square().sum()) / 2
    common = torch.stack([product(first, second), shifts[0] @ shifts[1]])
    return torch.stack([common, torch.stack([own, own_shift])], dim=1)


def _amount(common: float, own: float) -> float:
    """What is left to 1 of the share that all images together are trusted with."""
    if own <= 0:  # both halves say that nothing is to be done
        return 0.0
    return min(max(1 - 2 * common / (common + own), 0.0), 1.0) if common > 0 else 1.0


def _identity(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    return torch.eye(len(matrix)).to(matrix)
