"""A plug-in as a restorer: its section of the configuration, and what it is when it is loaded.

What an author writes is a function or class that takes a device and options, and returns a
function from images (b, 3, h, w) to restored ones (b, 3, H, W).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.sampling import sides_before
from tasks.io.errors import ConfigurationError
from tasks.io.machine.devices import pick_device
from tasks.io.networks.batches import is_for_want_of_memory
from tasks.io.networks.plug_ins.loading import load_plug_in, pinned
from tasks.io.networks.undoing import Undoing
from tasks.io.plug_ins.installed import in_words
from tasks.io.plug_ins.section import PlugIn
from tasks.io.shards.sides import SideKind

_PROBE = 64
"""Side of the images that a plug-in is tried out on."""


class PlugInRestorer(Undoing, PlugIn):
    """A restorer that an installed package brings."""

    kind: Literal["plug-in"]

    def making(self, *without: str) -> dict[str, Any]:
        """Return the options that decide what is made of an image, by name."""
        return {"kind": self.kind, "entry": self.entry, **self.options, **self.files}


Spec = TypeVar("Spec")


@dataclass(frozen=True, eq=False)
class LoadedPlugIn:
    """A plug-in on its device, which restores images of equal size together."""

    name: str
    """Of its entry point."""
    device: str
    function: Callable[[Tensor], Any]
    takes_batches: bool = True
    scale: int | None = None

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Check that it makes images of the right size, on two small ones of smooth waves.

        Raises:
            ConfigurationError: it fails on them, or makes something else.
        """
        images = torch.stack([_waves(), 1 - _waves()])
        height, width = sides_before(degradations, (_PROBE, _PROBE))
        rule = (
            f"restorer {self.name!r} must make of 2 images (3, {_PROBE}, {_PROBE}) two of "
            f"(3, {height}, {width})"
        )
        remedy = (
            "; say in degrade or restore.undoes by how much the images were reduced, or ask "
            "whoever wrote it"
        )
        try:
            made = self.restore(images, degradations, ["", ""], lambda _: None)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{rule}, got {error}{remedy}") from error
        if tuple(made.shape) != (2, 3, height, width):
            raise ConfigurationError(f"{rule}, got the shape {tuple(made.shape)}{remedy}")
        if not bool(torch.isfinite(made).all()):
            raise ConfigurationError(f"{rule}, all of it finite, got NaN or infinity{remedy}")

    @torch.no_grad()
    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None],
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return images (b, 3, H, W) in [0, 1]; see ``LoadedRestorer``.

        Raises:
            TypeError: what it makes is no tensor.
            ValueError: it fails.
        """
        try:
            made = self.function(degraded.to(self.device, copy=True))  # it may write into it
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) or is_for_want_of_memory(error):
                raise
            raise ValueError(in_words(error)) from error
        if not isinstance(made, Tensor):
            raise TypeError(f"its output is no tensor but {type(made).__name__}")
        return made.detach().float().clamp(0, 1)


def load_plug_in_restorer(spec: PlugInRestorer, device: str) -> LoadedPlugIn:
    """Return the restorer on its device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.

    Raises:
        ConfigurationError: the package is not installed, or the plug-in does not take its options
            or makes no function.
        WeightsMissing: a file is not there.
    """
    function = load_plug_in("restorer", spec, "restore", device)
    if not callable(function):
        raise ConfigurationError(
            f"restorer {spec.entry!r} must return a function of images, got "
            f"{type(function).__name__}; ask whoever wrote it"
        )
    return LoadedPlugIn(spec.entry, pick_device(device), function)


def pinned_restorer(spec: Spec) -> Spec:
    """Return a section of any kind; of a plug-in with the version that is installed here.

    Raises:
        ConfigurationError: its package is not installed.
    """
    return pinned("restorer", spec, "restore") if isinstance(spec, PlugInRestorer) else spec


def _waves() -> Tensor:
    """Return an image (3, h, w) of smooth waves around mid-grey."""
    rows, columns = torch.meshgrid(*(torch.arange(float(_PROBE)),) * 2, indexing="ij")
    return torch.stack([0.5 + 0.25 * (rows / a).sin() * (columns / 7).cos() for a in (5, 7, 9)])
