"""Kernel distances of two sets of images: KID with Inception's features, CMMD with CLIP's.

Axes: n images, m images of another set, d features of one image.
"""

from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import FeatureStatistics

KERNEL_SUBSETS = 100
"""Number of random subsets that the kernel distance averages over (Bińkowski et al. 2018)."""

KERNEL_SUBSET_SIZE = 1000
"""Number of images in each of these subsets (Bińkowski et al. 2018)."""

CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
"""Width of CMMD's kernel, and what the discrepancy is multiplied by (Jayasumana et al. 2024)."""

_ROWS_AT_ONCE = 1024


def kernel_distance(
    features: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    *,
    subset_size: int = KERNEL_SUBSET_SIZE,
    seed: int = 2020,
) -> Estimate | None:
    """The kernel distance of features, KID with Inception's (Bińkowski et al. 2018).

    The unbiased estimate (eq. 4 there) of the squared maximum mean discrepancy under
    the kernel k(x, y) = (xᵀy / d + 1)³, averaged over KERNEL_SUBSETS random subsets, as
    torch-fidelity computes it; it can be negative. The error is the standard deviation
    over the subsets.

    Args:
        features: one image in each row.
        reference: the same of the other set.
        subset_size: number of images drawn from either set for one subset.
        seed: of the subsets' choice.

    Returns:
        The distance and its error, or None where a set has fewer than ``subset_size``
        images, or a subset would have fewer than two.
    """
    if min(len(features), len(reference)) < subset_size or subset_size < 2:
        return None
    from torch_fidelity.metric_kid import kid_features_to_metric  # loads torchvision

    answer = kid_features_to_metric(
        features.double(),
        reference.double(),
        kid_subsets=KERNEL_SUBSETS,
        kid_subset_size=subset_size,
        rng_seed=seed,
        verbose=False,
    )
    return Estimate(
        answer["kernel_inception_distance_mean"], answer["kernel_inception_distance_std"]
    )


def gaussian_discrepancy(
    features: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]
) -> float | None:
    """CMMD with CLIP's features (Jayasumana et al. 2024), which are brought to length 1.

    A thousand times the squared maximum mean discrepancy under the kernel
    exp(−‖x − y‖² / (2 · 10²)), the means over all pairs, an image and itself included, as in
    their code: it is never negative, and 0 for equal sets. None where a set is empty.
    """
    if not len(features) or not len(reference):
        return None
    x, y = (normalize(side.double(), dim=1) for side in (features, reference))
    within = _mean_of_gaussians(x, x) + _mean_of_gaussians(y, y)
    return CMMD_SCALE * (within - 2 * _mean_of_gaussians(x, y))


def _mean_of_gaussians(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> float:
    """Mean of the Gaussian kernel over all pairs of vectors of length 1, less 1.

    Kernels are so wide that all are almost 1; without it, half of their digits remain.
    """
    parts = (x[start : start + _ROWS_AT_ONCE] for start in range(0, len(x), _ROWS_AT_ONCE))
    total = sum(float(((part @ y.mT - 1) / CMMD_SIGMA**2).expm1().sum()) for part in parts)
    return total / (len(x) * len(y))


def kernel_subset_size(images: int, reference: int) -> int:
    """KERNEL_SUBSET_SIZE, or half of the smaller set if that is less, so that subsets differ.

    >>> kernel_subset_size(300, 200)
    100
    """
    return min(KERNEL_SUBSET_SIZE, min(images, reference) // 2)


def pairing_bias(a: FeatureStatistics, b: FeatureStatistics) -> float | None:
    """The bias of the kernel distance from images that both sets have, by their keys.

    To be subtracted from the distance; usually negative. The cross term −2 E k(x, y)
    of the distance assumes independent sets, but an image resembles its own reference,
    so k(xᵢ, yᵢ) is large and the distance too small. With c the mean of k over all
    pairs of images of the two samples and c′ its mean over all pairs of different keys,
    the bias is 2(c′ − c). None where the samples share no key, or have no other pair.
    """
    row_of = {draw: row for row, draw in enumerate(b.draws.tolist())}
    shared = [(row, row_of[d]) for row, d in enumerate(a.draws.tolist()) if d in row_of]
    others = len(a.draws) * len(b.draws) - len(shared)
    if not shared or others == 0:
        return None
    ours, theirs = (list(rows) for rows in zip(*shared, strict=True))
    x, y = a.features.double(), b.features.double()
    parts = (x[start : start + _ROWS_AT_ONCE] for start in range(0, len(x), _ROWS_AT_ONCE))
    all_pairs = sum((float(_cubic(part @ y.mT, x.shape[1]).sum()) for part in parts), 0.0)
    same_key = float(_cubic((x[ours] * y[theirs]).sum(dim=1), x.shape[1]).sum())
    return 2 * ((all_pairs - same_key) / others - all_pairs / (others + len(shared)))


def _cubic(products: Float64[Tensor, "..."], dimension: int) -> Float64[Tensor, "..."]:
    """The kernel (xᵀy / d + 1)³, from the inner products xᵀy."""
    return (products / dimension + 1) ** 3
