"""Precision and recall of a set of images, from nearest neighbours among features.

Axes: n images, m images of another set, d features of one image.
"""

from jaxtyping import Float
from torch import Tensor


def precision_recall(
    features: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], *, neighbours: int = 3
) -> tuple[float, float] | None:
    """Precision and recall of Kynkäänniemi et al. 2019, both in [0, 1].

    Precision is the share of images that lie within the radius of some reference
    image; the radius of an image is the Euclidean distance to its ``neighbours``-th
    nearest neighbour in its own set. Recall is the same with the sets exchanged. As
    torch-fidelity computes them.

    Args:
        features: one image in each row.
        reference: the same of the other set.
        neighbours: which neighbour gives the radius; 3 in the paper.

    Returns:
        Precision and recall, or None where a set has no more than ``neighbours`` images.
    """
    if min(len(features), len(reference)) <= neighbours:
        return None
    from torch_fidelity.metric_prc import prc_features_to_metric  # loads torchvision

    answer = prc_features_to_metric(
        features,
        reference,
        prc_neighborhood=neighbours,
        prc_batch_size=2048,
        save_cpu_ram=True,
        verbose=False,
    )
    return answer["precision"], answer["recall"]
