"""Restorers: functions from a degraded image and its degradations to a restored image.

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
    """A function that undoes known degradations, downscaling included."""

    def __call__(
        self, degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
    ) -> Float[Tensor, "3 H W"]:
        """The restored image in [0, 1], as large as before the degradations.

        Args:
            degraded: the degraded image; noise may leave [0, 1].
            degradations: what the image went through, in order.
        """


def bicubic(
    degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
) -> Float[Tensor, "3 H W"]:
    """The image in [0, 1], interpolated to its size before the degradations.

    Only downscaling is undone; noise and artefacts of compression stay.
    """
    factor = total_downscaling(degradations)
    size = (degraded.shape[1] * factor, degraded.shape[2] * factor)
    upscaled = functional.interpolate(degraded[None], size, mode="bicubic", antialias=True)[0]
    return upscaled.clamp(0, 1)
