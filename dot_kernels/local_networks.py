"""Networks that are chains of local layers, run in tiles with the result of the whole.

Axes: b images, c input and k output channels, h and w input height and width, y and x output
height and width.

Every output pixel of a convolution depends on its neighbourhood only, so a tile of outputs can be
computed from a crop of the input: from the pixels in reach. Zero padding is the trap, since it
happens anew at each layer. So a crop is followed through the layers: each is given the input
pixels that the wanted outputs of all later layers depend on, and pads with zeros where its input
ends at the border of the image, which is right there. Where it ends inside the image, padding
spoils the outputs at the edge, which are cropped before the next layer.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.local_layers import LocalLayer

_KEPT_DENSITY = 4.0
"""Numbers per pixel of the finest resolution that are kept of a whole image between two segments:
little more than the image's own three, where all channels at full resolution would be 64."""


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """Local layers, one after the other."""

    layers: tuple[LocalLayer, ...]

    @property
    def reach(self) -> int:
        """Pixels, at the finest resolution, up to which a tile depends on those around it."""
        scales = self._scales()
        finest, steps = min(scales), zip(self.layers, scales, strict=False)
        return round(sum(max(x.padding, x.kernel - 1 - x.padding) * s / finest for x, s in steps))

    def in_tiles(self, images: Float[Tensor, "b c h w"], pixels: int) -> Float[Tensor, "b k y x"]:
        """The output of the network for whole images, computed tile by tile.

        Memory beyond the output follows from the size of a tile, but for a few numbers per pixel
        that are kept between segments of the network (see ``_segments``). Layers at a coarser
        resolution have tiles of more pixels, so that these take as much memory. In float32 on the
        CPU the result has the bits of the untiled one, as long as torch chooses the same kernels:
        it has others for inputs of at most 20480 numbers.

        Args:
            images: for which the network needs no padding but its own.
            pixels: of a tile at the finest resolution, at most, without the pixels in reach.
        """
        densities = self._densities()
        numbers = pixels * max(densities)
        for layers in self._segments(densities):
            part = slice(layers.start, layers.stop)
            scale = self._scales()[layers.stop]
            coarser = (scale / min(self._scales())) ** 2
            area = int(numbers / (max(densities[part]) * coarser))
            images = torch.cat([_tiled(self.layers[part], one, area) for one in images[:, None]])
        return images

    def _scales(self) -> list[float]:
        """Pixels of the input per pixel along an axis, before each layer and after the last."""
        scales = [1.0]
        for layer in self.layers:
            scales.append(scales[-1] * layer.stride / layer.upsampling)
        return scales

    def _densities(self) -> list[float]:
        """Numbers in the output of each layer per pixel of the finest resolution."""
        scales = self._scales()
        finest, after = min(scales), scales[1:]
        pairs = zip(self.layers, after, strict=True)
        return [layer.channels * (finest / scale) ** 2 for layer, scale in pairs]

    def _segments(self, densities: Sequence[float]) -> Iterator[range]:
        """Parts of the chain between which the image is whole.

        Tiles of a long chain reach far, so most of their work would be done for their neighbours.
        So the chain is cut where resolution changes and little has to be kept.
        """
        cuts = [
            index
            for index, (layer, following) in enumerate(pairwise(self.layers), start=1)
            if densities[index - 1] <= _KEPT_DENSITY
            and (layer.stride > 1 or following.upsampling > 1)
        ]
        yield from (range(*ends) for ends in pairwise([0, *cuts, len(self.layers)]))


def tiles_of(height: int, width: int, area: int) -> Iterator[tuple[range, range]]:
    """Rows and columns of tiles that cover an image, of about equal size and nearly square.

    Args:
        height: of the image.
        width: of the image.
        area: pixels of a tile, at most, but at least one row or column of an image that is
            narrower than a square tile.
    """
    side = max(math.isqrt(area), 1)
    rows = max(area // width, 1) if width <= side else side
    columns = max(area // height, 1) if height <= side else side
    for down in _parts(height, rows):
        for across in _parts(width, columns):
            yield down, across


def _parts(length: int, most: int) -> list[range]:
    """An axis in as few parts as have no more than ``most`` pixels, all of about equal length."""
    count = -(-length // most)
    return [range(*ends) for ends in pairwise(length * k // count for k in range(count + 1))]


def _tiled(
    layers: Sequence[LocalLayer], image: Float[Tensor, "1 c h w"], area: int
) -> Float[Tensor, "1 k y x"]:
    """The output of a segment, in tiles of about so many of its pixels."""
    lengths = [image.shape[2:]]
    for layer in layers:
        height, width = (layer.output_length(length) for length in lengths[-1])
        lengths.append(torch.Size((height, width)))
    height, width = lengths[-1]
    whole: Tensor | None = None
    for tile in tiles_of(height, width, area):
        made = _tile(layers, image, lengths, tile)
        if made.shape[2:] == (height, width):
            return made
        if whole is None:
            form = torch.channels_last if made.stride(1) == 1 else torch.contiguous_format
            shape = (1, made.shape[1], height, width)
            whole = torch.empty(shape, dtype=made.dtype, device=made.device, memory_format=form)
        whole[_window(*tile)] = made
    assert whole is not None  # noqa: S101 - there is a tile, as no side is empty
    return whole


def _tile(
    layers: Sequence[LocalLayer],
    image: Float[Tensor, "1 c h w"],
    lengths: Sequence[torch.Size],
    tile: tuple[range, range],
) -> Float[Tensor, "1 k y x"]:
    """One tile of the output of a segment."""
    needed = [tile]
    for layer, (height, width) in zip(reversed(layers), reversed(lengths[:-1]), strict=True):
        down, across = needed[-1]
        needed.append((layer.inputs(down, height), layer.inputs(across, width)))
    needed.reverse()
    made = image[_window(*needed[0])]
    for layer, held, wanted in zip(layers, needed, needed[1:], strict=False):
        starts = (layer.first_output(held[0]), layer.first_output(held[1]))
        made = cropped(layer.apply(made), wanted, starts)
    return made


def cropped(
    crop: Float[Tensor, "b c h w"], wanted: tuple[range, range], starts: tuple[int, int]
) -> Float[Tensor, "b c y x"]:
    """These rows and columns of an image, of a crop that begins at this row and column."""
    down, across = (
        range(side.start - start, side.stop - start)
        for side, start in zip(wanted, starts, strict=True)
    )
    return crop[_window(down, across)]


def _window(down: range, across: range) -> tuple[slice, slice, slice, slice]:
    """What selects rows and columns of images (b, c, h, w)."""
    return slice(None), slice(None), slice(down.start, down.stop), slice(across.start, across.stop)
