"""Distortion metrics of one image against its ground truth.

Axes: h and w image height and width. Images are float in [0, 1].
"""

import math

from jaxtyping import Float
from torch import Tensor

SSIM_WINDOW = 11
"""Width in pixels of the Gaussian window (sigma 1.5) of Wang et al. 2004."""


def mean_squared_error(image: Float[Tensor, "3 h w"], reference: Float[Tensor, "3 h w"]) -> float:
    """Mean over pixels and channels of the squared difference, on the [0, 1] scale."""
    return float((image.double() - reference.double()).square().mean())


def peak_signal_to_noise_ratio(mse: float) -> float:
    """PSNR in dB of a mean squared error on the [0, 1] scale; infinity for an error of 0.

    >>> peak_signal_to_noise_ratio(0.01)
    20.0
    """
    return -10 * math.log10(mse) if mse > 0 else math.inf


def structural_similarity(
    image: Float[Tensor, "3 h w"], reference: Float[Tensor, "3 h w"]
) -> float | None:
    """SSIM of Wang et al. 2004, at most 1, averaged over pixels and colour channels.

    scikit-image's, with the Gaussian window of sigma 1.5 and the population covariances
    of the paper. None where a side is shorter than the window: SSIM is not defined there.
    """
    if min(image.shape[1:]) < SSIM_WINDOW:
        return None
    from skimage.metrics import structural_similarity as ssim  # loads SciPy: not at start-up

    return float(
        ssim(  # type: ignore[no-untyped-call]
            image.movedim(0, -1).double().numpy(force=True),
            reference.movedim(0, -1).double().numpy(force=True),
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
