"""Draws: numbers and randomness that belong to one image, whichever shard and run it is in."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def draw_of(key: str) -> int:
    """A number from 0 to 2⁶³ − 1 that belongs to a key: its group, and its turn in a sample."""
    digest = hashlib.sha256(f"features\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draws_of(keys: Iterable[str]) -> Tensor:
    """The draws of keys (n,)."""
    return torch.tensor([draw_of(key) for key in keys], dtype=torch.int64)


def generator_of(purpose: str, seed: int, key: str) -> torch.Generator:
    """Randomness that belongs to one image, whichever shard and run it is in."""
    digest = hashlib.sha256(f"{purpose}\0{seed}\0{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
