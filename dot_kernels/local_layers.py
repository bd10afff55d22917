"""Layers whose outputs depend on few inputs around their own place, found in networks of torch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLayer:
    """A layer whose outputs depend on few inputs around their own place, along each side.

    Output j depends on inputs j * stride − padding to j * stride − padding + kernel − 1, and on
    inputs j // upsampling where that is above 1.
    """

    apply: Callable[[Tensor], Tensor]
    """The layer itself, which pads its input with zeros."""
    channels: int
    """Of its output."""
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    upsampling: int = 1
    counts_parts: bool = False
    """Whether a last output is made of fewer inputs than the kernel has, where the axis ends."""

    def output_length(self, length: int) -> int:
        """Height or width of the output for that of the input."""
        if self.upsampling > 1:
            return length * self.upsampling
        beyond = length + 2 * self.padding - self.kernel
        steps = -(-beyond // self.stride) if self.counts_parts else beyond // self.stride
        # A kernel that would begin where the axis has ended gives no output.
        return steps + 1 if steps * self.stride < length + self.padding else steps

    def inputs(self, outputs: range, length: int) -> range:
        """The inputs, of an axis of this length, that a crop for these outputs must have.

        They begin at a multiple of the stride, so that outputs keep their places.
        """
        if self.upsampling > 1:
            return range(outputs.start // self.upsampling, -(-outputs.stop // self.upsampling))
        first = outputs.start * self.stride - self.padding
        stop = (outputs.stop - 1) * self.stride - self.padding + self.kernel
        return range(max(first // self.stride * self.stride, 0), min(stop, length))

    def first_output(self, inputs: range) -> int:
        """The place of the first output of a crop that begins as ``inputs`` says."""
        return inputs.start * self.upsampling // self.stride


def layers_of(chain: nn.Module) -> tuple[LocalLayer, ...] | None:
    """A sequence of torch's layers as local layers; None if one of them is not known as local.

    Known are convolutions, largest values, upsampling by repetition, activations, batch
    normalisation that is not being trained, diffusers' residual block of the tiny auto-encoder,
    and torchvision's fire module of SqueezeNet.
    """
    return local_layers(chain) if isinstance(chain, nn.Sequential) else None


def local_layers(modules: Iterable[nn.Module], channels: int = 0) -> tuple[LocalLayer, ...] | None:
    """Layers of torch, one after the other, as local layers; see ``layers_of``.

    Args:
        modules: in their order.
        channels: of the input of the first.
    """
    layers = list[LocalLayer]()
    for module in modules:
        layer = _layer_of(module, channels)
        if layer is None:
            return None
        layers.append(layer)
        channels = layer.channels
    return tuple(layers)


def _layer_of(module: nn.Module, channels: int) -> LocalLayer | None:
    """A layer of torch as a local one, after a layer with this many channels."""
    if isinstance(module, nn.Conv2d):
        return _convolution(module)
    if isinstance(module, nn.Upsample):
        return _repetition(module, channels)
    if isinstance(module, nn.MaxPool2d):
        return _pooling(module, channels)
    if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.SiLU | nn.GELU | nn.Mish):
        return LocalLayer(apply=module, channels=channels)
    if isinstance(module, nn.BatchNorm2d) and not module.training:  # by the statistics it has
        return LocalLayer(apply=module, channels=channels)
    named = {"AutoencoderTinyBlock": _residual_block, "Fire": _fire}.get(type(module).__name__)
    return None if named is None else named(module)


def _repetition(module: nn.Upsample, channels: int) -> LocalLayer | None:
    """Upsampling by a whole number; None for any other."""
    factor = module.scale_factor
    if module.mode != "nearest" or not isinstance(factor, float) or not factor.is_integer():
        return None
    return LocalLayer(apply=module, channels=channels, upsampling=int(factor))


def _pooling(module: nn.MaxPool2d, channels: int) -> LocalLayer | None:
    """The largest values of squares without padding; None for any others."""
    if not isinstance(module.kernel_size, int) or not isinstance(module.stride, int):
        return None
    if module.padding != 0 or module.dilation != 1 or module.return_indices:
        return None
    return LocalLayer(
        apply=module,
        channels=channels,
        kernel=module.kernel_size,
        stride=module.stride,
        counts_parts=module.ceil_mode,
    )


def _fire(module: nn.Module) -> LocalLayer | None:
    """A convolution of single pixels, and two of its output side by side; None for others."""
    inner = [_convolution(each) for each in module.modules() if isinstance(each, nn.Conv2d)]
    if [(x.kernel, x.stride, x.padding) for x in inner if x] != [(1, 1, 0), (1, 1, 0), (3, 1, 1)]:
        return None
    channels = sum(each.channels for each in inner[1:] if each is not None)
    return LocalLayer(apply=module, channels=channels, kernel=3, padding=1)


def _residual_block(module: nn.Module) -> LocalLayer | None:
    """A block of convolutions without stride; None if it has others, or none."""
    inner = [_convolution(each) for each in module.modules() if isinstance(each, nn.Conv2d)]
    known = [each for each in inner if each is not None and each.stride == 1]
    if len(known) < len(inner) or not known:
        return None
    return LocalLayer(
        apply=module,
        channels=known[-1].channels,
        kernel=1 + sum(each.kernel - 1 for each in known),
        padding=sum(each.padding for each in known),
    )


def _convolution(module: nn.Conv2d) -> LocalLayer | None:
    """A convolution with square kernel and zero padding; None for any other."""
    sides = {module.kernel_size, module.stride, module.padding, module.dilation}
    if any(isinstance(side, str) or len(set(side)) > 1 for side in sides):
        return None
    if module.padding_mode != "zeros" or module.dilation[0] != 1:
        return None
    return LocalLayer(
        apply=module,
        channels=module.out_channels,
        kernel=module.kernel_size[0],
        stride=module.stride[0],
        padding=int(module.padding[0]),
    )
