"""A network on overlapping tiles of an image, in which one is blended into the other.

Axes: b images, c input and k output channels, h and w height and width; a band has any rows.

For networks whose outputs depend on the whole image: they see a tile in place of it, so the images
of two tiles differ where they overlap. How much they do is measured.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.local_networks import tiles_of

_LEVELS = 255.0


@dataclass(frozen=True, slots=True)
class SeamError:
    """How much the images of overlapping tiles differ where one is blended into the other.

    In 8-bit levels, of images clipped to [0, 1]. A commutative monoid under ``+``.
    """

    count: int = 0
    """Values that were compared: pixels times channels."""
    squares: float = 0.0
    """Sum of squared differences."""
    largest: float = 0.0

    @classmethod
    def of(cls, ours: Float[Tensor, "b c h w"], theirs: Float[Tensor, "b c h w"]) -> "SeamError":
        """The error of two images of the same pixels."""
        difference = (ours.clamp(0, 1) - theirs.clamp(0, 1)) * _LEVELS
        squares = float(difference.square().sum(dtype=torch.float64))
        return cls(difference.numel(), squares, float(difference.abs().max()))

    @property
    def rms(self) -> float:
        """Root mean square of the differences; 0 where nothing was compared."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    @property
    def numbers(self) -> dict[str, float]:
        """The ``rms``, the ``largest`` and the ``count``; empty where nothing was compared."""
        if not self.count:
            return {}
        return {"rms": self.rms, "largest": self.largest, "count": self.count}

    def __add__(self, other: "SeamError") -> "SeamError":
        """The error of both together."""
        return SeamError(
            self.count + other.count,
            self.squares + other.squares,
            max(self.largest, other.largest),
        )


def whole(bands: Iterable[Float[Tensor, "b c _ w"]]) -> Float[Tensor, "b c h w"]:
    """The images of bands from top to bottom."""
    parts = list(bands)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Rows and columns of tiles, in latent pixels, and how far neighbours overlap."""

    rows: Sequence[range]
    columns: Sequence[range]
    overlap: int

    @classmethod
    def of(cls, height: int, width: int, side: int, least: int = 1) -> "TilePlan":
        """Tiles of about this side, of which neighbours overlap by a quarter, for latents.

        Args:
            height: of the latents.
            width: of the latents.
            side: of a tile, in latent pixels.
            least: latent pixels that a tile has along each side, at least, where there are as
                many.
        """
        overlap = max(side // 8, 1) * 2
        core = max(side - overlap, 2 * overlap, 2 * least)
        tiles = list(tiles_of(height, width, core**2))
        rows = list(dict.fromkeys(down for down, _ in tiles))
        columns = list(dict.fromkeys(across for _, across in tiles))
        return cls(rows, columns, overlap)


def blended(
    network: Callable[[Tensor], Tensor],
    bands: Iterable[Float[Tensor, "1 c _ w"]],
    rates: tuple[int, int],
    tiles: TilePlan,
) -> Iterator[tuple[Float[Tensor, "1 k _ x"], SeamError]]:
    """The output of a network in blended tiles, and how much these differ where they overlap.

    Args:
        network: encodes or decodes a tile.
        bands: rows of an image or of its latents, from top to bottom.
        rates: pixels per latent pixel of the network's input, and of its output.
        tiles: where they lie.

    Yields:
        Rows of the output from top to bottom, each finished.
    """
    before, after = rates
    shared = tiles.overlap * after
    downs, acrosses = _widened(tiles.rows, tiles.overlap), _widened(tiles.columns, tiles.overlap)
    tail = left = torch.empty(0)
    above, rows = list[Tensor](), Rows(iter(bands))
    for number, down in enumerate(downs):
        held = rows.of(range(down.start * before, down.stop * before))
        row, seams, below = torch.empty(0), SeamError(), list[Tensor]()
        for column, across in enumerate(acrosses):
            made = network(held[..., across.start * before : across.stop * before])
            if not column:
                row = _begun(made, acrosses[-1].stop * after, tail)
            seams += SeamError.of(above[column], made[:, :, :shared]) if number else SeamError()
            seams += SeamError.of(left, made[..., :shared]) if column else SeamError()
            below.append(made[:, :, -shared:].clone())
            left = made[..., -shared:].clone()
            vertical = _ramp(number, len(downs), made.shape[2], shared).to(made)[:, None]
            horizontal = _ramp(column, len(acrosses), made.shape[3], shared).to(made)
            row[..., across.start * after : across.stop * after] += made * vertical * horizontal
        is_last = number == len(downs) - 1
        finished = row.shape[2] if is_last else row.shape[2] - shared
        above, tail = below, row[:, :, finished:].clone()
        yield row[:, :, :finished], seams


def _begun(
    tile: Float[Tensor, "1 k r s"], width: int, above: Float[Tensor, "1 k _ x"] | Tensor
) -> Float[Tensor, "1 k r x"]:
    """Zeros for a row of tiles as high as this one, after what the row above has left.

    Args:
        tile: one of the row.
        width: of all of them together.
        above: the row's first rows so far; empty for the uppermost.
    """
    row = tile.new_zeros(1, tile.shape[1], tile.shape[2], width)
    if above.numel():
        row[:, :, : above.shape[2]] = above
    return row


@dataclass(slots=True)
class Rows:
    """Rows of bands that are asked for from top to bottom: the last ones that were are kept."""

    bands: Iterator[Tensor]
    held: Tensor = field(default_factory=lambda: torch.empty(0))
    first: int = 0

    def of(self, wanted: range) -> Tensor:
        """The wanted rows; those above them are dropped."""
        if self.held.numel():
            self.held, self.first = self.held[:, :, wanted.start - self.first :], wanted.start
        parts = [self.held] if self.held.numel() else []
        count = sum(part.shape[2] for part in parts)
        while count < len(wanted):
            parts.append(next(self.bands))
            count += parts[-1].shape[2]
        self.held = whole(parts)
        return self.held[:, :, : len(wanted)]


def _widened(parts: Sequence[range], overlap: int) -> list[range]:
    """The parts of an axis, each as much longer at its inner ends as neighbours overlap."""
    reach, last = overlap // 2, len(parts) - 1
    return [
        range(part.start - reach * (place > 0), part.stop + reach * (place < last))
        for place, part in enumerate(parts)
    ]


def _ramp(place: int, count: int, length: int, shared: int) -> Float[Tensor, "length"]:
    """Weights of a tile along an axis, which add to 1 with those of its neighbours."""
    weights = torch.ones(length)
    rising = (torch.arange(shared) + 0.5) / shared
    if place > 0:
        weights[:shared] = rising
    if place < count - 1:
        weights[-shared:] = 1 - rising
    return weights
