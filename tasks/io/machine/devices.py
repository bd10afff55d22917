"""Devices that networks run on, and how exactly they compute there."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gethostname
from threading import Lock

import torch

from tasks.io.errors import ConfigurationError
from tasks.io.machine.resources import allotment


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


def device_label(device: str) -> str:
    """What tables call a device: no two of a cluster have the same name.

    A GPU is known by its own number, as a scheduler may call each GPU of a machine the first.
    """
    if not device.startswith("cuda"):
        return f"{device} of {gethostname()}"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name} {str(properties.uuid)[:8]} of {gethostname()}"


def devices(name: str) -> tuple[str, ...]:
    """The devices that ``auto`` or ``cuda`` stand for here, or the named one.

    A task that a cluster has given devices to has those and no other; ``auto`` is the
    processor where it has asked for none.

    Raises:
        ConfigurationError: there is no such device.
    """
    device, share = pick_device(name), allotment()
    if device != "cuda":
        return (device,)
    if share is None:
        return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    if not share.devices and name == "auto":
        return ("cpu",)
    return tuple(pick_device(f"cuda:{number}") for number in share.devices or (0,))


def count_devices(name: str) -> int:
    """How many devices the name stands for on this machine, and one where there is none."""
    return max(1, torch.cuda.device_count()) if name in ("auto", "cuda") else 1


@contextmanager
def leased(name: str) -> Iterator[str]:
    """A device for the block: the least used of those that the name stands for.

    Nobody waits: where there are more threads than devices, some share one.

    Raises:
        ConfigurationError: there is no such device.
    """
    choices = devices(name)
    with _leasing:
        device = min(choices, key=_leases.__getitem__)
        _leases[device] += 1
    try:
        yield device
    finally:
        with _leasing:
            _leases[device] -= 1


_leases = Counter[str]()
"""How many blocks of this process have each device."""

_leasing = Lock()
