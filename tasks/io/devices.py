"""Devices that networks run on, and how exactly they compute there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tasks.io.errors import ConfigurationError


def pick_device(name: str) -> str:
    """The device that ``auto`` stands for, or the named one.

    Raises:
        ConfigurationError: it is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        number = int(name.partition(":")[2] or 0)
        if number >= torch.cuda.device_count():
            raise ConfigurationError(
                f"compute.device must be there, got {name!r} with {torch.cuda.device_count()} "
                "CUDA devices visible; use 'cpu' or 'auto'"
            )
    return name


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 in convolutions: its ten bits are too few for a map with gains of tens.

    A network in bfloat16 is not affected.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
