"""A stand-in for the package pyiqa: its functions, with metrics that a test can follow.

It has nothing of the package but the names that are used, and no network.
"""

import torch

__version__ = "0.0.0.standin"


def _brightness(target):
    return target.mean(dim=(1, 2, 3))


def _absolute(target, ref):
    return (target - ref).abs().mean(dim=(1, 2, 3))


def _chance(target):
    return target.mean(dim=(1, 2, 3)) + torch.rand(len(target))


def _large(target):
    if min(target.shape[2:]) < 400:
        raise RuntimeError("Kernel size can't be greater than actual input size")
    return _brightness(target)


def _broken(target):
    raise RuntimeError("a layer is missing")


def _crowded(target):
    raise RuntimeError("DefaultCPUAllocator: not enough memory")


def _unknown(target):
    return torch.full((len(target),), torch.nan)


_METRICS = {
    "brightness": ("NR", False, _brightness),
    "darkness+": ("NR", True, lambda target: 1 - _brightness(target)),
    "absolute": ("FR", True, _absolute),
    "chance": ("NR", False, _chance),
    "large": ("NR", False, _large),
    "broken": ("NR", False, _broken),
    "crowded": ("NR", False, _crowded),
    "unknown": ("NR", False, _unknown),
    "far": ("NR", False, None),
    "fid": ("NR", True, _broken),
}

made = []
"""Names of the metrics that were made, in order."""


class _Metric:
    """A metric as ``create_metric`` gives it."""

    def __init__(self, name, device):
        self.metric_mode, self.lower_better, self._compute = _METRICS[name]
        self.metric_name, self.device = name, device

    def __call__(self, target, ref=None):
        assert (ref is not None) == (self.metric_mode == "FR")
        assert float(target.min()) >= 0
        assert float(target.max()) <= 1
        return self._compute(target) if ref is None else self._compute(target, ref)


def create_metric(metric_name, as_loss=False, device=None):
    """A metric by its name."""
    print("Downloading ...")  # noqa: T201 - as the package does
    if _METRICS[metric_name][2] is None:
        raise OSError("Name or service not known")
    made.append(metric_name)
    return _Metric(metric_name, device)


def list_models(metric_mode=None):
    """The names of all metrics, or of those of a mode."""
    return sorted(n for n, (mode, *_) in _METRICS.items() if metric_mode in (None, mode))
