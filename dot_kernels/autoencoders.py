"""Auto-encoders of diffusers as codecs.

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / factor, w / factor). Images are float in [0, 1].
"""

from collections.abc import Callable, Sequence
from inspect import signature
from itertools import accumulate
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from dot_kernels.local_layers import LocalLayer, layers_of
from dot_kernels.local_networks import LocalNetwork
from dot_kernels.staged_codecs import DecoderInStages
from dot_kernels.stages import Stage, as_local, stages_of_module, through

_PROBE = (256, 512)
"""Height and width of the image by which a network's factor is found; multiples of any factor."""


class AutoencoderCodec(DecoderInStages):
    """An auto-encoder of diffusers for single RGB images, as a codec.

    Any class will do that maps images in [-1, 1] to latents and back; one of videos is given
    videos of one frame. Factor and channels are those of a pass without numbers, on torch's
    meta device.

    The module stays on its device and in its dtype, and is set to evaluation without
    gradients. Images and latents are moved to it, and results are float32 on its device.
    Latents are the mode of the posterior (a sample would differ from run to run). One factor
    for all channels, and a shift of each, cancel in the transport and are left out. Factors that
    differ do not cancel: where the module's configuration has ``latents_std``, every channel is
    divided by its own after ``latents_mean`` is taken off, as by what generates such latents.

    Raises:
        TypeError: the module is no such auto-encoder.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)
        self._has_frames = next((each.ndim for each in module.parameters() if each.ndim > 3), 4) > 4
        self._turn = Lock()
        self._moments: tuple[Tensor, Tensor] | None = None
        self.factor, self.channels = self._found_size()
        self._moments = self._named_moments()

    def _found_size(self) -> tuple[int, int]:
        """The factor and the channels that the shapes of a pass without numbers have.

        Raises:
            TypeError: it is no pass from RGB images to latents and back.
        """
        name, (height, width) = type(self.module).__name__, _PROBE
        rule = f"module must be an auto-encoder of diffusers for RGB images, got {name}"
        tensors = [*self.module.named_parameters(), *self.module.named_buffers()]
        state = {f"module.{place}": tensor.to("meta") for place, tensor in tensors}
        images = torch.empty(1, 3, height, width, device="meta")
        network = _RoundTrip(self.module, (self._encoded, self._decoded))
        try:
            images, latents, decoded = functional_call(network, state, images)
        except Exception as error:
            raise TypeError(f"{rule}, which cannot take them: {error}") from error
        factor = height // latents.shape[2] if latents.ndim == 4 and latents.numel() else 0
        sizes = [side // factor for side in _PROBE] if factor else []
        if list(latents.shape[2:]) != sizes or decoded.shape != images.shape:
            shapes = " to ".join(str(tuple(each.shape)) for each in (images, latents, decoded))
            raise TypeError(f"{rule}, which takes {shapes}")
        return factor, int(latents.shape[1])

    def _named_moments(self) -> tuple[Tensor, Tensor] | None:
        """Mean and deviation of each channel (c, 1, 1) that the configuration has; None without.

        Some of those for videos have them for several frames; the first frame's are taken.

        Raises:
            TypeError: they are not those of the latents' channels.
        """
        config = getattr(self.module, "config", None)
        named = [getattr(config, f"latents_{moment}", None) for moment in ("mean", "std")]
        if named[0] is None or named[1] is None:
            return None
        if any(not each or len(each) % self.channels for each in named):
            raise TypeError(
                f"latents_mean and latents_std must have numbers for {self.channels} channels, "
                f"got {len(named[0])} and {len(named[1])}"
            )
        device = next(self.module.parameters()).device
        mean, deviation = (
            torch.tensor(each, device=device).view(self.channels, -1)[:, :1, None] for each in named
        )
        return mean, deviation

    @property
    def encoder(self) -> LocalNetwork | None:
        """The layers of an ``AutoencoderTiny``, which are all local.

        None for an ``AutoencoderKL``: its group norms take statistics of the whole image, and
        its attention compares all places.
        """
        return self._network("encoder", self._to_tiny, lambda latents: latents.float())

    @property
    def decoder(self) -> LocalNetwork | None:
        """The layers of an ``AutoencoderTiny``; None for an ``AutoencoderKL``."""
        if self._replaced is not None:
            return as_local(self._replaced)
        return self._network("decoder", self._to_bounded, _from_tiny)

    def _own_stages(self) -> tuple[Stage, ...]:
        name = type(self.module).__name__
        before = self._to_bounded if name == "AutoencoderTiny" else self._to_own
        after = _from_tiny if name in ("AutoencoderTiny", "Taef2") else _to_unit_range
        return stages_of_module(self.module, before, after)

    def _network(
        self, name: str, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
    ) -> LocalNetwork | None:
        """A network of a tiny auto-encoder, between what the codec does at single pixels."""
        if type(self.module).__name__ != "AutoencoderTiny":
            return None
        layers = layers_of(self.module.get_submodule(f"{name}.layers"))
        if layers is None:
            return None
        width = 3 if name == "encoder" else self.channels
        first = LocalLayer(apply=before, channels=width)
        return LocalNetwork((first, *layers, LocalLayer(apply=after, channels=layers[-1].channels)))

    def _to_tiny(self, images: Tensor) -> Tensor:
        """Images as the first layer of the encoder takes them, rounded as by the whole network."""
        return self._placed(images * 2 - 1).add(1).div(2)

    def _to_bounded(self, latents: Tensor) -> Tensor:
        """Latents as the first layer of the decoder takes them."""
        return torch.tanh(self._placed(latents) / 3) * 3

    def _to_own(self, latents: Tensor) -> Tensor:
        """Latents as other decoders take them."""
        return self._placed(self._own(latents))

    def _placed(self, tensor: Tensor) -> Tensor:
        """A tensor on the device of the network, in its dtype."""
        parameter = next(self.module.parameters())
        return tensor.to(parameter.device, parameter.dtype)

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The modes of the posterior of images in [0, 1], or Tiny's latents, in float32."""
        return self._encoded(images)

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The decoded images in float32; they may lie a little outside [0, 1]."""
        if self._replaced is not None:
            return through(self._replaced, latents)
        return self._decoded(latents)

    def _encoded(self, images: Tensor) -> Tensor:
        latents = self._without_frames(_latents_in(self._call("encode", images * 2 - 1))).float()
        if self._moments is None:
            return latents
        mean, deviation = self._moments
        return (latents - mean) / deviation

    def _decoded(self, latents: Tensor) -> Tensor:
        return _to_unit_range(self._without_frames(self._call("decode", self._own(latents)).sample))

    def _own(self, latents: Tensor) -> Tensor:
        """Latents on the scales of the network's channels."""
        if self._moments is None:
            return latents
        mean, deviation = self._moments
        return latents.to(mean) * deviation + mean

    def _call(self, method: str, tensor: Tensor) -> Any:
        """What a method of the module answers; one at a time where it keeps frames meanwhile."""
        call, placed = getattr(self.module, method), self._placed(tensor)
        if self._has_frames:
            with self._turn:
                return call(placed[:, :, None])
        counted = {"num_frames": 1} if "num_frames" in signature(call).parameters else {}
        return call(placed, **counted)

    def _without_frames(self, tensor: Tensor) -> Tensor:
        """Latents or images of videos, of which each has one frame; others as they are."""
        return tensor.squeeze(2) if self._has_frames else tensor


class _RoundTrip(nn.Module):
    """The network of a codec, which encodes and decodes images when it is called."""

    def __init__(self, module: nn.Module, steps: Sequence[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.module, self._steps = module, steps

    @torch.inference_mode()
    def forward(self, images: Tensor) -> list[Tensor]:
        """The images, their latents and the decoded images."""
        return list(accumulate(self._steps, lambda given, step: step(given), initial=images))


def _latents_in(answer: Any) -> Tensor:
    """The latents in the answer of a module's ``encode``, under any of diffusers' names."""
    posterior = getattr(answer, "latent_dist", None)
    latents: Tensor
    if posterior is not None:
        latents = posterior.mode()
    else:
        latents = answer.latent if hasattr(answer, "latent") else answer.latents
    return latents


def _from_tiny(images: Tensor) -> Tensor:
    """Images as the codec gives them, of the last layer's output, rounded as by the network."""
    return _to_unit_range(images.mul(2).sub(1))


def _to_unit_range(images: Tensor) -> Tensor:
    """Images in [−1, 1] as float32 ones in [0, 1], both up to overshoot."""
    return (images.float() + 1) / 2
