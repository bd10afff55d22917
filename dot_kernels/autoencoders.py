"""Auto-encoders of diffusers as codecs.

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / factor, w / factor). Images are float in [0, 1].
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dot_kernels.local_layers import LocalLayer, layers_of
from dot_kernels.local_networks import LocalNetwork
from dot_kernels.staged_codecs import DecoderInStages
from dot_kernels.stages import Stage, as_local, stages_of_module, through


class AutoencoderCodec(DecoderInStages):
    """A loaded diffusers ``AutoencoderKL`` or ``AutoencoderTiny`` as a codec.

    The module stays on its device and in its dtype, and is set to evaluation without
    gradients. Images and latents are moved to it, and results are float32 on its device.
    Latents are the mode of the posterior (a sample would differ from run to run), not
    multiplied by the scaling factor, which would cancel in the transport.

    Raises:
        TypeError: the module is no such autoencoder.
    """

    def __init__(self, module: nn.Module) -> None:
        config: Any = getattr(module, "config", None)
        widths = getattr(config, "block_out_channels", None)
        if widths is None or not hasattr(config, "latent_channels"):
            raise TypeError(
                "module must be a diffusers AutoencoderKL or AutoencoderTiny, "
                f"got {type(module).__name__}"
            )
        self.module = module.eval().requires_grad_(False)
        self.factor = int(2 ** (len(widths) - 1))
        self.channels = int(config.latent_channels)

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
        is_tiny = type(self.module).__name__ == "AutoencoderTiny"
        ends = (self._to_bounded, _from_tiny) if is_tiny else (self._placed, _to_unit_range)
        return stages_of_module(self.module, *ends)

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

    def _placed(self, tensor: Tensor) -> Tensor:
        """A tensor on the device of the network, in its dtype."""
        parameter = next(self.module.parameters())
        return tensor.to(parameter.device, parameter.dtype)

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The modes of the posterior of images in [0, 1], or Tiny's latents, in float32."""
        answer = self._call("encode", images * 2 - 1)
        posterior = getattr(answer, "latent_dist", None)
        latents: Tensor = answer.latents if posterior is None else posterior.mode()
        return latents.float()

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The decoded images in float32; they may lie a little outside [0, 1]."""
        if self._replaced is not None:
            return through(self._replaced, latents)
        sample: Tensor = self._call("decode", latents).sample
        return _to_unit_range(sample)

    def _call(self, method: str, tensor: Tensor) -> Any:
        return getattr(self.module, method)(self._placed(tensor))


def _from_tiny(images: Tensor) -> Tensor:
    """Images as the codec gives them, of the last layer's output, rounded as by the network."""
    return _to_unit_range(images.mul(2).sub(1))


def _to_unit_range(images: Tensor) -> Tensor:
    """Images in [−1, 1] as float32 ones in [0, 1], both up to overshoot."""
    return (images.float() + 1) / 2
