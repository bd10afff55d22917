"""Distortion metrics of one image against its ground truth.

Axes: h and w image height and width. Images are float in [0, 1].
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Num
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


def root_in_levels(mse: float) -> float:
    """The root of a mean squared error on the [0, 1] scale, in levels of 8 bits: 0 to 255.

    >>> round(root_in_levels(0.0001), 6)
    2.55
    """
    return 255 * math.sqrt(mse)


def structural_similarity(
    image: Float[Tensor, "3 h w"], reference: Float[Tensor, "3 h w"]
) -> float | None:
    """SSIM of Wang et al. 2004, at most 1, averaged over pixels and colour channels.

    scikit-image's, with the Gaussian window of sigma 1.5 and the population covariances
    of the paper. None where a side is shorter than the window: SSIM is not defined there.
    """
    if min(image.shape[1:]) < SSIM_WINDOW:
        return None
    mean, _ = _similarity(image, reference)
    return mean


def distortion_of_written(
    image: Num[Tensor, "h w 3"],
    reference: Num[Tensor, "h w 3"],
    weights: Num[Tensor, "h w"] | None = None,
) -> tuple[float, float | None]:
    """Mean squared error and SSIM of images of any depth, whose largest whole number is 1.

    Those of ``mean_squared_error`` and ``structural_similarity``, up to rounding in float64, but
    with a memory that does not grow with the images: they are compared in strips of rows.

    Args:
        image: uint8, uint16, or floating-point in [0, 1].
        reference: the same, of any of these types.
        weights: how much each pixel counts, and in SSIM each window by its middle: 0 or more, and
            somewhere above 0, as an alpha channel has it. Pixels of weight 0 are white in both
            images. None for all alike.

    Returns:
        SSIM is None where a side is shorter than the window, or no window counts.
    """
    error = squared_error_of_written(image, reference, weights)
    height, width = image.shape[:2]
    if min(height, width) < SSIM_WINDOW:
        return error, None
    if weights is not None:
        return error, _weighted_similarity(image, reference, weights)
    similarity = 0.0
    for rows, share in _strips(height, width, overlap=SSIM_WINDOW - 1):
        similar = structural_similarity(_unit(image[rows]), _unit(reference[rows]))
        assert similar is not None  # noqa: S101 - a strip is as wide as the image, and as high
        similarity += similar * share
    return error, similarity


def squared_error_of_written(
    image: Num[Tensor, "h w 3"],
    reference: Num[Tensor, "h w 3"],
    weights: Num[Tensor, "h w"] | None = None,
) -> float:
    """The mean squared error of ``distortion_of_written`` alone, with the same arguments."""
    height, width = image.shape[:2]
    if weights is None:
        return sum(
            mean_squared_error(_unit(image[rows]), _unit(reference[rows])) * share
            for rows, share in _strips(height, width, overlap=0)
        )
    error = counted = 0.0
    for rows, _ in _strips(height, width, overlap=0):
        weight = weights[rows].double()
        squared = (_unit(image[rows]) - _unit(reference[rows])).square().mean(dim=0)
        error += float((squared * weight).sum())
        counted += float(weight.sum())
    return error / counted


def _weighted_similarity(
    image: Num[Tensor, "h w 3"], reference: Num[Tensor, "h w 3"], weights: Num[Tensor, "h w"]
) -> float | None:
    """The SSIM that ``distortion_of_written`` gives with weights."""
    height, width = weights.shape
    similarity = windows = 0.0
    reach = SSIM_WINDOW // 2
    for rows, _ in _strips(height, width, overlap=SSIM_WINDOW - 1):
        hidden = weights[rows] == 0
        pair = (_unit(side[rows]).masked_fill(hidden, 1) for side in (image, reference))
        _, similar = _similarity(*pair)
        weight = weights[rows][reach:-reach, reach:-reach].double()
        similarity += float((similar[reach:-reach, reach:-reach] * weight).sum())
        windows += float(weight.sum())
    return similarity / windows if windows else None


def _similarity(
    image: Float[Tensor, "3 h w"], reference: Float[Tensor, "3 h w"]
) -> tuple[float, Float64[Tensor, "h w"]]:
    """SSIM, and the map that it is the mean of where windows fit in, averaged over channels."""
    from skimage.metrics import structural_similarity as ssim  # loads SciPy: not at start-up

    mean, similar = ssim(  # type: ignore[no-untyped-call]
        image.movedim(0, -1).double().numpy(force=True),
        reference.movedim(0, -1).double().numpy(force=True),
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean), torch.from_numpy(similar).mean(dim=2)


def _unit(levels: Num[Tensor, "h w 3"]) -> Float64[Tensor, "3 h w"]:
    """The image in [0, 1], in float64, of one whose largest whole number is 1."""
    most = 1 if levels.is_floating_point() else torch.iinfo(levels.dtype).max
    return levels.movedim(-1, 0).double() / most


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
