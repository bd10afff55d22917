"""Perceptual hashes: which images show nearly the same, whatever their size and compression.

The signs of an image's coarsest waves (Zauner, Implementation and benchmarking of perceptual image
hash functions, 2010, section 3.2.1): its luma at 32 × 32 pixels, transformed by the discrete cosine
transform, of which the 63 lowest frequencies but the mean are compared with their median.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

BITS = 63
"""Bits of a hash."""

RADIUS = 8
"""Bits in which hashes of near-duplicates differ, at most: of the same photograph at half the size,
as JPEG of quality 30 or darker by a fifth."""

_SIDE, _LOW = 32, 8
_LUMA = (0.299, 0.587, 0.114)
_BLOCK = 1024
"""Hashes that are compared with as many others at a time."""


def perceptual_hash(images: Float[Tensor, "b 3 h w"]) -> Int[Tensor, " b"]:
    """Return a hash of each image, whose bits tell how alike two of them are.

    Args:
        images: in [0, 1], of any size.

    Returns:
        integers in [0, 2⁶³); two images are nearly the same where these differ in ``RADIUS`` bits
        or fewer. Of images of one colour all bits are 0.
    """
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    luma = (images * weights).sum(1, keepdim=True).double()
    coarse = adaptive_avg_pool2d(luma, _SIDE)[:, 0]
    waves = _cosines(images.device)
    low = (waves @ coarse @ waves.T).flatten(1)[:, 1:]
    low = torch.where(low.abs() < 1e-6, torch.zeros_like(low), low)  # rounding, not a wave
    bits = (low > low.median(1, keepdim=True).values).long()
    return (bits << torch.arange(BITS, device=bits.device)).sum(1)


def _cosines(device: torch.device) -> Float[Tensor, "8 32"]:
    """Return the lowest waves of the discrete cosine transform (type II)."""
    place = torch.arange(_SIDE, dtype=torch.float64, device=device) + 0.5
    frequency = torch.arange(_LOW, dtype=torch.float64, device=device)
    return torch.cos(math.pi / _SIDE * frequency[:, None] * place)


def near_duplicates(hashes: Int[Tensor, " n"], radius: int = RADIUS) -> Int[Tensor, "pairs 2"]:
    """Return the pairs of hashes that differ in few bits.

    Of several equal ones each is in a pair with the first, which alone is compared with others, so
    that a thousand copies of one image are 999 pairs. Those of images of one colour, 0, are left
    out.

    Args:
        hashes: of images; 100,000 take a minute, as each is compared with all others, and memory
            by the pairs.
        radius: bits in which two may differ.

    Returns:
        places of both in the list, the lower first, in their order.
    """
    places = hashes.nonzero()[:, 0]
    different, group = torch.unique(hashes[places], return_inverse=True)
    order = torch.arange(len(places), device=hashes.device)
    first = torch.full_like(different, len(places)).scatter_reduce(0, group, order, "amin")
    copies = (first[group] != order).nonzero()[:, 0]
    found = [torch.stack((first[group[copies]], copies), dim=1), first[_close(different, radius)]]
    pairs = places[torch.cat(found)].sort(dim=1).values
    order = (pairs[:, 0] * len(hashes) + pairs[:, 1]).argsort()
    return pairs[order]


def _close(hashes: Int[Tensor, " n"], radius: int) -> Int[Tensor, "pairs 2"]:
    """Return the pairs of different hashes that differ in few bits, of a square at a time."""
    bits = ((hashes[:, None] >> torch.arange(BITS, device=hashes.device)) & 1).float() * 2 - 1
    found = [hashes.new_empty(0, 2)]
    for row in range(0, len(bits), _BLOCK):
        for column in range(row, len(bits), _BLOCK):
            alike = bits[row : row + _BLOCK] @ bits[column : column + _BLOCK].T
            near = alike >= BITS - 2 * radius  # bits that agree, less those that do not
            if near.any():  # small tensors that are kept would keep the memory between them
                pairs = (near.triu(1) if row == column else near).nonzero()
                found.append(pairs + pairs.new_tensor([row, column]))
    return torch.cat(found)
