"""Devices that networks run on, and how exactly they compute there."""

import torch

from tasks.io.errors import ConfigurationError


def pick_device(name: str) -> str:
    """The device that ``auto`` stands for, or the named one; without TF32 from then on.

    TF32's ten bits are too few for a map with gains of tens. It is a setting of the
    process, so that no thread turns it on again under another; bfloat16 is not affected.

    Raises:
        ConfigurationError: it is not there.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
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
