"""Image codecs: images to latents and back.

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / factor, w / factor). Images are float in [0, 1].
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


@runtime_checkable
class Codec(Protocol):
    """Turns images into latents and back; sizes must be multiples of ``factor``."""

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel, along each side."""

    @property
    def channels(self) -> int:
        """Latent channels."""

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Latents of images in [0, 1]."""

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """Images, in [0, 1] up to overshoot."""


class PixelCodec:
    """Pixel-unshuffle: blocks of factor × factor pixels become channels.

    Needs no weights and is inverted exactly, so it serves tests, demonstrations and
    machines without a network.

    >>> PixelCodec(2).encode(torch.zeros(1, 3, 4, 6)).shape
    torch.Size([1, 12, 2, 3])
    """

    def __init__(self, factor: int = 8) -> None:
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        self.factor = factor
        self.channels = 3 * factor**2

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Latents with 3 * factor² channels; no value changes."""
        return functional.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images that were encoded, bit for bit."""
        return functional.pixel_shuffle(latents, self.factor)


class AutoencoderCodec:
    """A loaded diffusers ``AutoencoderKL`` or ``AutoencoderTiny`` as a codec.

    The module keeps its device and dtype; images go to it and come back as float32
    on the device. Latents are the mode of the posterior (a sample would make every
    run different), unscaled: a scaling factor would cancel in the transport.
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

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Posterior modes."""
        answer = self._call("encode", images * 2 - 1)
        posterior = getattr(answer, "latent_dist", None)
        latents: Tensor = answer.latents if posterior is None else posterior.mode()
        return latents.float()

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """Decoded images; a network may overshoot [0, 1] a little."""
        sample: Tensor = self._call("decode", latents).sample
        return (sample.float() + 1) / 2

    def _call(self, method: str, tensor: Tensor) -> Any:
        parameter = next(self.module.parameters())
        return getattr(self.module, method)(tensor.to(parameter.device, parameter.dtype))
