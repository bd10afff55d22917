"""Images made larger by mirroring.

Axes: b images, c channels, h and w height and width, h2 and w2 those that are wanted.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def pad_by_reflection(
    images: Float[Tensor, "b c h w"], height: int, width: int
) -> Float[Tensor, "b c h2 w2"]:
    """Images extended at the bottom and the right by mirroring, as often as needed.

    torch's own reflection padding allows one mirror image only, too few for images of
    a few pixels.

    Args:
        images: height and width at least 1.
        height: wanted number of rows, at least that of the images.
        width: wanted number of columns, at least that of the images.
    """
    if (height, width) == tuple(images.shape[2:]):
        return images
    rows = mirrored(images.shape[2], height).to(images.device)
    columns = mirrored(images.shape[3], width).to(images.device)
    return images[:, :, rows[:, None], columns]


def mirrored(length: int, wanted: int) -> Tensor:
    """The first ``wanted`` of the indices 0 1 2 … n−1 n−2 … 1 0 1 …, with n = length."""
    period = max(2 * (length - 1), 1)
    phase = torch.arange(wanted) % period
    return torch.minimum(phase, period - phase) if length > 1 else torch.zeros_like(phase)


def reflected(length: int, reach: int) -> Int64[Tensor, "n"]:
    """Indices of an axis that goes on by ``reach`` pixels on both ends, there and back."""
    period = max(2 * (length - 1), 1)
    indices = torch.arange(-reach, length + reach) % period
    return torch.minimum(indices, period - indices)
