"""What single layers of a chain of local layers give for an image, tile by tile.

Axes: b images, c channels, h and w height and width.

Networks that compare images look at the outputs of several layers, and average over their places.
Sums over tiles are then sums over the whole, if every place is in one tile: each tile has places
of its own at each layer, and a crop of the image is followed through the layers for them
(``local_networks``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from dot_kernels.local_layers import LocalLayer
from dot_kernels.local_networks import cropped, tiles_of

Window = tuple[range, range]
"""Rows and columns."""

Reader = Callable[[range, range], Float[Tensor, "b c h w"]]
"""Returns these rows and columns of images."""

_NUMBERS = 1 << 23
"""Numbers that a layer's output has for a tile, at most, without what the tile reaches around."""


@dataclass(frozen=True, slots=True)
class LocalActivations:
    """The outputs of some layers of a chain of local layers, none of which enlarges its input."""

    layers: tuple[LocalLayer, ...]
    taps: tuple[int, ...]
    """How many layers each output is made by, increasing; the last is all of them."""

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of each output for those of an image."""
        lengths = self._lengths(height, width)
        return [lengths[tap] for tap in self.taps]

    def tiles(self, height: int, width: int) -> Iterator[Window]:
        """Places of the last output, in tiles that are small enough to be computed at once.

        Args:
            height: of the image.
            width: of the image.
        """
        scales = self._scales()
        after = zip(self.layers, scales[1:], strict=True)
        densest = max(layer.channels / scale**2 for layer, scale in after)
        area = int(_NUMBERS / densest / scales[-1] ** 2)
        yield from tiles_of(*self._lengths(height, width)[-1], area)

    def of_tile(
        self, read: Reader, size: tuple[int, int], tile: Window
    ) -> list[Float[Tensor, "b c h w"]]:
        """Each output at the tile's own places, of which no two tiles have one in common.

        Args:
            read: the images.
            size: their height and width.
            tile: one of ``tiles``.
        """
        lengths = self._lengths(*size)
        own = {tap: self._own(tile, tap, lengths) for tap in self.taps}
        held = own[len(self.layers)]
        needed = [held]
        for index in reversed(range(len(self.layers))):
            layer, (height, width) = self.layers[index], lengths[index]
            inputs = (layer.inputs(held[0], height), layer.inputs(held[1], width))
            held = _hull([inputs, own.get(index, inputs)])
            needed.append(held)
        needed.reverse()
        made, outputs = read(*needed[0]), list[Tensor]()
        for index, (layer, (before, after)) in enumerate(
            zip(self.layers, pairwise(needed), strict=True), start=1
        ):
            starts = (layer.first_output(before[0]), layer.first_output(before[1]))
            made = cropped(layer.apply(made), after, starts)
            if index in own:
                outputs.append(cropped(made, own[index], (after[0].start, after[1].start)))
        return outputs

    def _scales(self) -> list[int]:
        """Pixels of the image per place along an axis, before each layer and after the last."""
        scales = [1]
        for layer in self.layers:
            scales.append(scales[-1] * layer.stride)
        return scales

    def _lengths(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width before each layer and after the last."""
        lengths = [(height, width)]
        for layer in self.layers:
            down, across = lengths[-1]
            lengths.append((layer.output_length(down), layer.output_length(across)))
        return lengths

    def _own(self, tile: Window, tap: int, lengths: Sequence[tuple[int, int]]) -> Window:
        """The places of a tile at an output: the last tiles of an axis have all that are left."""
        scales = self._scales()
        rate, last = scales[-1] // scales[tap], lengths[-1]
        down, across = (
            range(side.start * rate, n if side.stop == end else side.stop * rate)
            for side, end, n in zip(tile, last, lengths[tap], strict=True)
        )
        return down, across


def _hull(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all of some."""
    down, across = (
        range(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*windows, strict=True)
    )
    return down, across
