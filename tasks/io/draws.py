"""Draws: numbers and randomness that belong to an image's key, whatever its shard and run."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def draw_of(key: str) -> int:
    """Return the number from 0 to 2⁶³ − 1 that belongs to a key.

    Statistics of features group images by it, and choose their samples by it.
    """
    digest = hashlib.sha256(f"features\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draws_of(keys: Iterable[str]) -> Tensor:
    """Return the numbers of n keys as an int64 tensor (n,)."""
    return torch.tensor([draw_of(key) for key in keys], dtype=torch.int64)


def generator_of(purpose: str, seed: int, key: str) -> torch.Generator:
    """Return a generator whose numbers depend on nothing but these arguments.

    Args:
        purpose: tells apart different uses of one image.
        seed: of the configuration.
        key: of the image.
    """
    digest = hashlib.sha256(f"{purpose}\0{seed}\0{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
