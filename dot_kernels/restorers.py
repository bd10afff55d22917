"""Restorers: a degraded image and its known degradation in, a restored image out.

Axes: h and w height and width of the degraded image, H and W of the restored one.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dot_kernels.degradations import Degradation, total_downscaling


@runtime_checkable
class Restorer(Protocol):
    """Undoes a known degradation; sides grow by its total downscaling."""

    def __call__(
        self, degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
    ) -> Float[Tensor, "3 H W"]:
        """The restored image, in [0, 1]."""


def bicubic(
    degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
) -> Float[Tensor, "3 H W"]:
    """Bicubic interpolation back to the size before the degradation."""
    factor = total_downscaling(degradations)
    size = (degraded.shape[1] * factor, degraded.shape[2] * factor)
    upscaled = functional.interpolate(degraded[None], size, mode="bicubic", antialias=True)[0]
    return upscaled.clamp(0, 1)
