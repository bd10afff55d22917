"""The devices that networks run on, and the precision that they compute with there."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gethostname
from threading import Lock

import torch

from tasks.io.errors import ConfigurationError
from tasks.io.machine.resources import allotment


def pick_device(name: str) -> str:
    """Return the device that ``auto`` stands for, or the named one, and turn TF32 off.

    TF32's ten bits are too few for a map with gains of tens. The setting is the whole
    process's and is left so: no thread turns TF32 on while another computes. bfloat16 is not
    affected.

    Raises:
        ConfigurationError: there is no such device.
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
    """Return what tables call a device; no two devices of a cluster have the same label.

    A GPU's label holds its UUID, as a scheduler may show each task another GPU as the first.
    """
    if not device.startswith("cuda"):
        return f"{device} of {gethostname()}"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name} {str(properties.uuid)[:8]} of {gethostname()}"


def computes_bfloat16(device: str) -> bool:
    """Return whether a device has instructions for bfloat16; others emulate it, far slower.

    Args:
        device: cpu, cuda or cuda:1, not auto.
    """
    if device.startswith("cuda"):
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    known = torch.cpu.get_capabilities()
    return any(bool(has) for name, has in known.items() if name.endswith("bf16"))


def devices(name: str) -> tuple[str, ...]:
    """Return all devices that ``auto`` or ``cuda`` stand for here, or the named one alone.

    Where a cluster shares the machine out, these are the devices that it gave to this task;
    ``auto`` is the processor if the task asked for none.

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
    """Return how many devices the name stands for on this machine, at least one."""
    return max(1, torch.cuda.device_count()) if name in ("auto", "cuda") else 1


@contextmanager
def leased(name: str) -> Iterator[str]:
    """Give the block a device: the least used by this process of those that the name stands for.

    It never waits: where there are more blocks than devices, some share one.

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
"""How many blocks of this process use each device at present."""

_leasing = Lock()
