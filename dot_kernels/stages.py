"""Decoders cut into stages, between which their activations can be met and moved.

Axes: b images, c latent channels, y and x latent height and width, k channels of activations.

Decoding is a chain of stages. What the first ones make of latents are the activations of a level:
level 0 after the first stage, up to the level before the last stage, which makes the image.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dot_kernels.local_layers import LocalLayer, local_layers
from dot_kernels.local_networks import LocalNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a decoder, from one level to the next."""

    apply: Callable[[Tensor], Tensor]
    """The part itself."""
    channels: int
    """Number k of channels of its output."""
    upsampling: int = 1
    """Pixels of its output for one of its input, along each side."""
    layers: tuple[LocalLayer, ...] | None = None
    """The same as a chain of local layers; None where outputs depend on the whole image."""

    def then(self, layer: LocalLayer) -> "Stage":
        """This stage, and a layer that keeps the resolution after it."""
        layers = None if self.layers is None else (*self.layers, layer)
        return Stage(
            apply=lambda tensor: layer.apply(self.apply(tensor)),
            channels=layer.channels,
            upsampling=self.upsampling,
            layers=layers,
        )


def through(stages: Iterable[Stage], latents: Tensor) -> Tensor:
    """What stages make of latents (b, c, y, x), one after the other."""
    for stage in stages:
        latents = stage.apply(latents)
    return latents


def as_local(stages: Sequence[Stage]) -> LocalNetwork | None:
    """Stages as one chain of local layers; None if there are none or one of them is not local."""
    chain = list[LocalLayer]()
    for stage in stages:
        if stage.layers is None:
            return None
        chain.extend(stage.layers)
    return LocalNetwork(tuple(chain)) if chain else None


def stages_of_module(
    module: nn.Module, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
) -> tuple[Stage, ...]:
    """The stages of the decoder of an auto-encoder of diffusers; empty for an unknown one.

    An ``AutoencoderTiny`` or TAEF2 is cut before each upsampling and before the last convolution,
    an ``AutoencoderKL`` after the middle block and after each block of upsampling.

    Args:
        module: the auto-encoder.
        before: what is done to each latent pixel before the decoder.
        after: what is done to each pixel after it.
    """
    # By name, as others with the same parts do more between them: they quantise, or take frames.
    kind, decoder = type(module).__name__, getattr(module, "decoder", None)
    chain = decoder if isinstance(decoder, nn.Sequential) else getattr(decoder, "layers", None)
    if kind in ("AutoencoderTiny", "Taef2") and isinstance(chain, nn.Sequential):
        return _tiny(list(chain), before, after)
    if kind in ("AutoencoderKL", "AutoencoderKLFlux2"):
        return _variational(module, decoder, before, after)
    return ()


def _tiny(
    modules: list[nn.Module],
    before: Callable[[Tensor], Tensor],
    after: Callable[[Tensor], Tensor],
) -> tuple[Stage, ...]:
    """The stages of a sequence of layers, by the places of its upsampling."""
    last = len(modules) - 1
    cuts = [i for i, each in enumerate(modules) if isinstance(each, nn.Upsample) or i == last]
    channels = next(each.in_channels for each in modules if isinstance(each, nn.Conv2d))
    stages = list[Stage]()
    for start, stop in zip([0, *cuts], [*cuts, len(modules)], strict=True):
        stages.append(_stage(modules[start:stop], channels))
        channels = stages[-1].channels
    first = LocalLayer(apply=before, channels=next(iter(_convolutions(modules))).in_channels)
    stages[0] = _joined(first, stages[0])
    stages[-1] = stages[-1].then(LocalLayer(apply=after, channels=channels))
    return tuple(stages)


def _stage(modules: list[nn.Module], channels: int) -> Stage:
    """Layers, of which only the first may enlarge its input, as a stage."""
    scale = modules[0].scale_factor if isinstance(modules[0], nn.Upsample) else 1
    found = _convolutions(modules)
    return Stage(
        apply=nn.Sequential(*modules),
        channels=found[-1].out_channels if found else channels,
        upsampling=int(scale),  # type: ignore[arg-type]
        layers=local_layers(modules, channels),
    )


def _joined(layer: LocalLayer, stage: Stage) -> Stage:
    """A layer that keeps the resolution, and a stage after it."""
    return Stage(
        apply=lambda tensor: stage.apply(layer.apply(tensor)),
        channels=stage.channels,
        upsampling=stage.upsampling,
        layers=None if stage.layers is None else (layer, *stage.layers),
    )


def _convolutions(modules: Iterable[nn.Module]) -> list[nn.Conv2d]:
    """All convolutions in modules, in their order."""
    return [each for top in modules for each in top.modules() if isinstance(each, nn.Conv2d)]


def _variational(
    module: nn.Module,
    decoder: Any,
    before: Callable[[Tensor], Tensor],
    after: Callable[[Tensor], Tensor],
) -> tuple[Stage, ...]:
    """The stages of an ``AutoencoderKL`` and its kin, whose layers see the whole image."""
    quantised: Any = getattr(module, "post_quant_conv", None)

    def begin(latents: Tensor) -> Tensor:
        placed = before(latents)
        placed = placed if quantised is None else quantised(placed)
        moved: Tensor = decoder.mid_block(decoder.conv_in(placed), None)
        return moved

    def finish(activations: Tensor) -> Tensor:
        shown = decoder.conv_act(decoder.conv_norm_out(activations))
        return after(decoder.conv_out(shown))

    first = Stage(apply=begin, channels=decoder.conv_in.out_channels)
    last = Stage(apply=finish, channels=decoder.conv_out.out_channels)
    return (first, *map(_block, decoder.up_blocks), last)


def _block(block: Any) -> Stage:
    """A block of upsampling, which doubles the resolution if it has a layer that does."""
    return Stage(
        apply=lambda activations: block(activations, None),
        channels=block.resnets[-1].out_channels,
        upsampling=2 if block.upsamplers else 1,
    )
