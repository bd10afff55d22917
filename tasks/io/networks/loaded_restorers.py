"""What a restorer is when it is loaded: it takes images of one size, and gives them restored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.restorers import Restorer, bicubic, noise_level
from tasks.io.shards.sides import SideKind


class LoadedRestorer(Protocol):
    """A restorer on its device."""

    @property
    def takes_batches(self) -> bool:
        """Whether images go through it together; else one by one, each on a core of its own."""

    @property
    def scale(self) -> int | None:
        """How many times as large sides become; None for as the degradations reduce them."""

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Check that it can undo degradations; none where it is not known which there were.

        Raises:
            ConfigurationError: it cannot.
        """

    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None],
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return images (b, 3, H, W) in [0, 1], of the size before the degradations.

        Args:
            degraded: (b, 3, h, w) on the CPU, of one size; noise may leave [0, 1].
            degradations: what the images went through, in order.
            keys: of the images; they seed what is drawn.
            hear: is told the error at the seams of every image that was restored in tiles.
            sides: what stands beside each image; none where nothing is known of it.

        Raises:
            ImageRefused: it does not take images of this size, or not the one image.
        """


@dataclass(frozen=True, eq=False)
class ImageByImage:
    """A function of one image, as a restorer without weights on the CPU."""

    function: Restorer
    takes_batches: bool = False
    scale: int | None = None

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Do nothing: the configuration was checked when it was read."""

    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None],
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return the restored images; see ``LoadedRestorer``."""
        return torch.stack([self.function(image, degradations) for image in degraded])


def non_local_means(strength: float, patch_size: int, patch_distance: int) -> Restorer:
    """Return the method of Buades et al. 2005 by scikit-image, then bicubic upscaling if needed.

    Args:
        strength: cut-off distance in units of the noise's sigma.
        patch_size: height and width of the patches that are compared, in pixels.
        patch_distance: how far away patches to compare with are looked for, in pixels.
    """
    from skimage.restoration import denoise_nl_means

    def restore(degraded: Tensor, degradations: Sequence[Degradation]) -> Tensor:
        sigma = noise_level(degradations)
        image: Any = denoise_nl_means(
            degraded.movedim(0, -1).numpy(),
            patch_size=patch_size,
            patch_distance=patch_distance,
            h=strength * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=-1,
        )
        denoised = torch.from_numpy(image).float().movedim(-1, 0)
        return bicubic(denoised, degradations)

    return restore
