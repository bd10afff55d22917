"""Codecs between images and latents.

Axes: b images, h and w image height and width, c latent channels, y and x latent
height and width (h / factor, w / factor). Images are float in [0, 1].
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from dot_kernels.local_layers import LocalLayer, layers_of
from dot_kernels.local_networks import LocalNetwork
from dot_kernels.stages import Stage, as_local, stages_of_module, through


@runtime_checkable
class Codec(Protocol):
    """An encoder and a decoder; image sides must be multiples of ``factor``."""

    @property
    def factor(self) -> int:
        """Number of image pixels for one latent pixel, along each side."""

    @property
    def channels(self) -> int:
        """Number c of latent channels."""

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The latents of images in [0, 1]."""

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images of latents; a network's may lie a little outside [0, 1]."""


@runtime_checkable
class LocalCodec(Codec, Protocol):
    """A codec that can say how its networks are chains of local layers.

    Such networks give the same for a tile as for the image around it (``TiledCodec``).
    """

    @property
    def encoder(self) -> LocalNetwork | None:
        """The layers of ``encode``; None where outputs depend on the whole image."""

    @property
    def decoder(self) -> LocalNetwork | None:
        """The layers of ``decode``; None where outputs depend on the whole image."""


class PixelCodec:
    """Pixel-unshuffle: the pixels of a factor × factor block become channels.

    It needs no weights and its decoder is the exact inverse of its encoder, which suits
    tests, demonstrations, and machines without weights of a network.

    >>> PixelCodec(2).encode(torch.zeros(1, 3, 4, 6)).shape
    torch.Size([1, 12, 2, 3])
    """

    def __init__(self, factor: int = 8) -> None:
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        self.factor = factor
        self.channels = 3 * factor**2

    @property
    def encoder(self) -> LocalNetwork:
        """One layer, whose outputs depend on a block of the image each."""
        layer = LocalLayer(
            apply=self.encode, channels=self.channels, kernel=self.factor, stride=self.factor
        )
        return LocalNetwork((layer,))

    @property
    def decoder(self) -> LocalNetwork:
        """One layer, each of whose inputs becomes a block of the image."""
        layer = LocalLayer(apply=self.decode, channels=3, upsampling=self.factor)
        return LocalNetwork((layer,))

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Latents with 3 * factor² channels; no value changes."""
        return functional.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """The images that were encoded, bit for bit."""
        return functional.pixel_shuffle(latents, self.factor)


class AutoencoderCodec:
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
        self._replaced: tuple[Stage, ...] | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of ``decode``: see ``stages.stages_of_module`` for where it is cut."""
        if self._replaced is not None:
            return self._replaced
        is_tiny = type(self.module).__name__ == "AutoencoderTiny"
        ends = (self._to_bounded, _from_tiny) if is_tiny else (self._placed, _to_unit_range)
        return stages_of_module(self.module, *ends)

    def with_stages(self, stages: Sequence[Stage]) -> "AutoencoderCodec":
        """The same codec, which decodes by these stages."""
        other = copy.copy(self)
        other._replaced = tuple(stages)
        return other

    @torch.inference_mode()
    def activations(
        self, latents: Float[Tensor, "b c y x"], count: int
    ) -> Iterator[Float[Tensor, "b k _ x2"]]:
        """What the first ``count`` stages make of latents, in one band, in the network's dtype."""
        yield through(self.stages[:count], latents)

    @property
    def encoder(self) -> LocalNetwork | None:
        """The layers of an ``AutoencoderTiny``, which are all local.

        None for an ``AutoencoderKL``: its group norms take statistics of the whole image, and
        its attention compares all places.
        """
        if type(self.module).__name__ != "AutoencoderTiny":
            return None
        layers = layers_of(self.module.get_submodule("encoder.layers"))
        if layers is None:
            return None
        first = LocalLayer(apply=self._to_tiny, channels=3)
        last = LocalLayer(apply=lambda latents: latents.float(), channels=layers[-1].channels)
        return LocalNetwork((first, *layers, last))

    @property
    def decoder(self) -> LocalNetwork | None:
        """The layers of an ``AutoencoderTiny``; None for an ``AutoencoderKL``."""
        return as_local(self.stages)

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
