"""Distortion metrics of one image against its ground truth.

Axes: h and w image height and width. Images are float in [0, 1].
"""

import math
from collections.abc import Iterator

from jaxtyping import Float, UInt8
from torch import Tensor

SSIM_WINDOW = 11
"""Width in pixels of the Gaussian window (sigma 1.5) of Wang et al. 2004."""

_STRIP_PIXELS = 1 << 19
"""Pixels of a strip of rows that is compared at once, unless eleven rows have more."""


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


def distortion_of_written(
    image: UInt8[Tensor, "h w 3"], reference: UInt8[Tensor, "h w 3"]
) -> tuple[float, float | None]:
    """Mean squared error and SSIM of images in 8 bits, whose level 255 is 1.

    Those of ``mean_squared_error`` and ``structural_similarity``, up to rounding in float64, but
    with a memory that does not grow with the images: they are compared in strips of rows.
    """
    height, width = image.shape[:2]
    error = sum(
        mean_squared_error(_unit(image[rows]), _unit(reference[rows])) * share
        for rows, share in _strips(height, width, overlap=0)
    )
    if min(height, width) < SSIM_WINDOW:
        return error, None
    similarity = 0.0
    for rows, share in _strips(height, width, overlap=SSIM_WINDOW - 1):
        similar = structural_similarity(_unit(image[rows]), _unit(reference[rows]))
        assert similar is not None  # noqa: S101 - a strip is as wide as the image, and as high
        similarity += similar * share
    return error, similarity


def _unit(levels: UInt8[Tensor, "h w 3"]) -> Float[Tensor, "3 h w"]:
    """The image in [0, 1] of one in 8 bits, in float64."""
    return levels.movedim(-1, 0).double() / 255


def _strips(height: int, width: int, overlap: int) -> Iterator[tuple[slice, float]]:
    """Rows of strips that cover an image, with the share of its windows that lie in each.

    Args:
        height: of the image.
        width: of the image.
        overlap: rows that a strip has in common with the next: one less than those of a window.
    """
    positions = height - overlap
    step = max(_STRIP_PIXELS // width, SSIM_WINDOW)
    for top in range(0, positions, step):
        stop = min(top + step, positions)
        yield slice(top, stop + overlap), (stop - top) / positions
