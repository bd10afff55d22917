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
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
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

        See ``in_bands``, of which this is the case of a single band.

        Args:
            images: for which the network needs no padding but its own.
            pixels: of a tile at the finest resolution, at most, without the pixels in reach.
        """
        height, width = images.shape[2:]
        made = [list(self.in_bands([one], height, width, pixels)) for one in images[:, None]]
        return torch.cat([band for bands in made for band in bands])

    def in_bands(
        self, bands: Iterable[Float[Tensor, "1 c _ w"]], height: int, width: int, pixels: int
    ) -> Iterator[Float[Tensor, "1 k _ x"]]:
        """The output of the network for an image that comes band by band, as far as it follows.

        Memory follows from the size of a tile and of a band, but for a few numbers per pixel of a
        band that are kept between segments of the network (see ``_segments``). Nothing is computed
        twice for two bands, as each segment keeps the rows that its next outputs depend on.
        Layers at a coarser resolution have tiles of more pixels, so that these take as much memory.
        In float32 on the CPU the result has the bits of the untiled one, as long as torch chooses
        the same kernels: it has others for inputs of at most 20480 numbers.

        Args:
            bands: rows of an image from top to bottom, for which the network needs no padding but
                its own.
            height: of the image.
            width: of the image.
            pixels: of a tile at the finest resolution, at most, without the pixels in reach.

        Yields:
            Rows of the output from top to bottom, as many as the bands so far determine.
        """
        densities, scales = self._densities(), self._scales()
        numbers = pixels * max(densities)
        lengths = [torch.Size((height, width))]
        for layer in self.layers:
            down, across = (layer.output_length(length) for length in lengths[-1])
            lengths.append(torch.Size((down, across)))
        for part in self._segments(densities):
            coarser = (scales[part.stop] / min(scales)) ** 2
            area = int(numbers / (max(densities[part.start : part.stop]) * coarser))
            layers = self.layers[part.start : part.stop]
            bands = _segment(layers, bands, lengths[part.start : part.stop + 1], area)
        yield from bands

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


def _segment(
    layers: Sequence[LocalLayer],
    bands: Iterable[Float[Tensor, "1 c _ w"]],
    lengths: Sequence[torch.Size],
    area: int,
) -> Iterator[Float[Tensor, "1 k _ x"]]:
    """The output of a segment for an image in bands, in tiles of about so many of its pixels.

    Args:
        layers: of the segment.
        bands: of its input.
        lengths: height and width of the image before each layer and after the last.
        area: pixels of a tile of the output, at most.
    """
    heights, (height, width) = [each[0] for each in lengths], lengths[-1]
    held, first, done = torch.empty(0), 0, 0
    for band in bands:
        held = band if held.numel() == 0 else torch.cat([held, band], dim=2)
        known = bisect_right(
            range(height),
            first + held.shape[2],
            lo=done,
            key=lambda row: _needed(layers, heights, range(row, row + 1))[0].stop,
        )
        if known == done:
            continue
        tiles = [
            (range(down.start + done, down.stop + done), across)
            for down, across in tiles_of(known - done, width, area)
        ]
        made = (_tile(layers, held, first, lengths, tile) for tile in tiles)
        yield _together(made, tiles, (known - done, width))
        done = known
        if done < height:
            needed = _needed(layers, heights, range(done, done + 1))[0].start
            held, first = held[:, :, needed - first :].clone(), needed


def _together(
    made: Iterator[Float[Tensor, "1 k r s"]],
    tiles: Sequence[tuple[range, range]],
    size: tuple[int, int],
) -> Float[Tensor, "1 k _ x"]:
    """Tiles of a band in one tensor of this height and width."""
    top, whole = tiles[0][0].start, torch.empty(0)
    for (down, across), part in zip(tiles, made, strict=True):
        if part.shape[2:] == size:
            return part
        if whole.numel() == 0:
            form = torch.channels_last if part.stride(1) == 1 else torch.contiguous_format
            shape = (1, part.shape[1], *size)
            whole = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=form)
        whole[_window(range(down.start - top, down.stop - top), across)] = part
    return whole


def _needed(layers: Sequence[LocalLayer], lengths: Sequence[int], outputs: range) -> list[range]:
    """What outputs depend on before each layer along an axis, and last the outputs themselves."""
    needed = [outputs]
    for layer, length in zip(reversed(layers), reversed(lengths[:-1]), strict=True):
        needed.append(layer.inputs(needed[-1], length))
    return needed[::-1]


def _tile(
    layers: Sequence[LocalLayer],
    held: Float[Tensor, "1 c h w"],
    first: int,
    lengths: Sequence[torch.Size],
    tile: tuple[range, range],
) -> Float[Tensor, "1 k y x"]:
    """One tile of the output of a segment, from the rows of its input from ``first`` on."""
    downs, acrosses = (
        _needed(layers, [each[axis] for each in lengths], side) for axis, side in enumerate(tile)
    )
    made = cropped(held, (downs[0], acrosses[0]), (first, 0))
    for layer, down, across, wanted in zip(
        layers, downs, acrosses, zip(downs[1:], acrosses[1:], strict=True), strict=False
    ):
        starts = (layer.first_output(down), layer.first_output(across))
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
