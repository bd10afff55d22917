"""The Inception Score of a set of images, from class probabilities of a network.

Axes: n images, c classes, g groups of images.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import GROUPS


@dataclass(frozen=True, slots=True, eq=False)
class ClassSums:
    """Sums over the images of each group, as the Inception Score needs them.

    ``counts`` is the number of images, ``probabilities`` the sum of their class
    probabilities p, and ``negative_entropies`` the sum of Σ p log p over the classes,
    in nats. A commutative monoid under ``+``, except for rounding.
    """

    counts: Int64[Tensor, "g"]
    probabilities: Float64[Tensor, "g c"]
    negative_entropies: Float64[Tensor, "g"]

    @classmethod
    def of(cls, logits: Float32[Tensor, "n c"], draws: Int64[Tensor, "n"]) -> "ClassSums":
        """Sums of some images, accumulated in float64.

        Args:
            logits: unnormalised log probabilities of the classes, one image in each row.
            draws: as for ``FeatureStatistics.of``.
        """
        log_p = logits.double().log_softmax(dim=1)
        p = log_p.exp()
        group = draws % GROUPS
        zeros = log_p.new_zeros(GROUPS)
        return cls(
            torch.bincount(group, minlength=GROUPS),
            log_p.new_zeros(GROUPS, logits.shape[1]).index_add(0, group, p),
            zeros.index_add(0, group, (p * log_p).sum(dim=1)),
        )

    def __add__(self, other: "ClassSums") -> "ClassSums":
        """Sums of both sets together."""
        return ClassSums(
            self.counts + other.counts,
            self.probabilities + other.probabilities,
            self.negative_entropies + other.negative_entropies,
        )


def inception_score(sums: ClassSums) -> Estimate | None:
    """The Inception Score exp E KL(p(y|x) ‖ p(y)) of Salimans et al. 2016.

    Between 1 and the number of classes. The mean of the scores of the groups, which
    stand for the ten random splits of the paper; the error is the standard deviation
    of these ten scores. None where a group is empty.
    """
    if not bool((sums.counts > 0).all()):
        return None
    count = sums.counts.double()
    marginal = sums.probabilities / count[:, None]  # (g, c)
    divergence = sums.negative_entropies / count - torch.xlogy(marginal, marginal).sum(dim=1)
    scores = divergence.exp()
    return Estimate(float(scores.mean()), float(scores.std(correction=0)))
