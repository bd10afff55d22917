"""A plug-in as a codec: its section of the configuration, and what it is when it is loaded.

What an author writes is a function or class that takes a device and options, and returns an
object with the four members of the protocol ``Codec`` of ``dot_kernels``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from dot_kernels import Codec
from tasks.io.errors import ConfigurationError
from tasks.io.machine.devices import pick_device
from tasks.io.networks.batches import is_for_want_of_memory
from tasks.io.networks.plug_ins.loading import load_plug_in, pinned
from tasks.io.plug_ins.installed import in_words
from tasks.io.plug_ins.section import PlugIn

_PROBE = 64
"""Side of the images that a plug-in is tried out on, at least."""


class PlugInCodec(PlugIn):
    """A codec that an installed package brings."""

    kind: Literal["plug-in"]


Spec = TypeVar("Spec")


@dataclass(frozen=True, eq=False)
class CheckedCodec:
    """A plug-in on its device, whose output is looked at each time."""

    name: str
    """Of its entry point."""
    device: str
    codec: Codec
    factor: int
    channels: int

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents (b, c, y, x) of images (b, 3, h, w) in [0, 1], in float32.

        Raises:
            ConfigurationError: the plug-in fails, or makes another shape.
        """
        count, _, height, width = images.shape
        expected = count, self.channels, height // self.factor, width // self.factor
        return self._checked("encode", self.codec.encode, images, expected)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images (b, 3, h, w) of latents (b, c, y, x), in float32.

        Raises:
            ConfigurationError: the plug-in fails, or makes another shape.
        """
        count, _, height, width = latents.shape
        expected = count, 3, height * self.factor, width * self.factor
        return self._checked("decode", self.codec.decode, latents, expected)

    def _checked(
        self,
        verb: str,
        function: Callable[[Tensor], Any],
        given: Tensor,
        expected: tuple[int, ...],
    ) -> Tensor:
        rule = f"codec {self.name!r} must {verb} a tensor {tuple(given.shape)} as one {expected}"
        remedy = "; ask whoever wrote it, or take another codec"
        try:
            made = function(given.to(self.device, copy=True))  # it may write into it
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) or is_for_want_of_memory(error):
                raise
            raise ConfigurationError(f"{rule}, got {in_words(error)}{remedy}") from error
        if not isinstance(made, Tensor) or tuple(made.shape) != expected:
            found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ConfigurationError(f"{rule}, got {found}{remedy}")
        return made.detach().to(self.device, torch.float32)


def load_plug_in_codec(spec: PlugInCodec, device: str) -> CheckedCodec:
    """Return the codec on its device, tried out on two small images.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.

    Raises:
        ConfigurationError: the package is not installed, or the plug-in does not take its
            options, or is no codec.
        WeightsMissing: a file is not there.
    """
    made = load_plug_in("codec", spec, "codec", device)
    if not isinstance(made, Codec):
        raise ConfigurationError(
            f"codec {spec.entry!r} must have factor, channels, encode and decode, got "
            f"{type(made).__name__}, which lacks one; ask whoever wrote it"
        )
    sizes = {"factor": made.factor, "channels": made.channels}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ConfigurationError(
                f"{name} of codec {spec.entry!r} must be a whole number from 1 up, got {size!r}; "
                "ask whoever wrote it"
            )
    checked = CheckedCodec(spec.entry, pick_device(device), made, **sizes)
    _try_out(checked)
    return checked


def pinned_codec(spec: Spec) -> Spec:
    """Return a section of any kind; of a plug-in with the version that is installed here.

    Raises:
        ConfigurationError: its package is not installed.
    """
    return pinned("codec", spec, "codec") if isinstance(spec, PlugInCodec) else spec


@torch.inference_mode()
def _try_out(codec: CheckedCodec) -> None:
    """Encode and decode two small images of smooth waves.

    Raises:
        ConfigurationError: the codec fails, or makes other shapes or numbers that are not finite.
    """
    side = -(-_PROBE // codec.factor) * codec.factor
    waves = 0.5 + 0.4 * (torch.arange(2 * 3 * side**2) / 9).sin().view(2, 3, side, side)
    latents = codec.encode(waves.to(codec.device))
    for verb, made in (("encode", latents), ("decode", codec.decode(latents))):
        if not bool(torch.isfinite(made).all()):
            raise ConfigurationError(
                f"what codec {codec.name!r} makes must be finite, got NaN or infinity from {verb} "
                "of smooth waves; ask whoever wrote it"
            )
