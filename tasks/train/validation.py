"""Validation: how well the averages of a map restore crops that no step has seen."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dot_kernels.metrics import peak_signal_to_noise_ratio
from tasks.train.batches import Batch


def validated(
    network: nn.Module, batches: Iterable[Batch], device: str
) -> tuple[float, float] | None:
    """Return the mean PSNR of restored crops, and of degraded ones, in dB; None without any.

    Args:
        network: a map on the device.
        batches: held-out crops with their clean ones.
        device: of the network.
    """
    restored, degraded = list[float](), list[float]()
    for batch in batches:
        with torch.inference_mode():
            made = network(batch.degraded.to(device)).clamp(0, 1).cpu()
        restored += _each_psnr(made, batch.clean)
        degraded += _each_psnr(batch.degraded, batch.clean)
    if not restored:
        return None
    return sum(restored) / len(restored), sum(degraded) / len(degraded)


def _each_psnr(images: Tensor, clean: Tensor) -> list[float]:
    errors = (images - clean).double().square().mean(dim=(1, 2, 3))
    return [peak_signal_to_noise_ratio(error) for error in errors.tolist()]
