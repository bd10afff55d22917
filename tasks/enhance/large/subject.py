"""One large picture on its way through a pass: what it is, band by band, and what is made of it.

Axes: r rows of a band, w width of the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from tasks.enhance.pairs import NOT_FINITE, Marks, Pair, Rendered
from tasks.enhance.signal_images import Appearance
from tasks.io.images import Form, Pixels, depth_written
from tasks.io.images.pixels import bands_of, finite
from tasks.io.images.transparency import opacity, without_hidden
from tasks.io.machine.scratch import let_go, scratch_array
from tasks.io.networks.features.extractors import SeenBy
from tasks.io.workspace import INPUT, Signal


@dataclass(kw_only=True)
class LargeImage:
    """A large picture, and what a pass makes of it: that grows band by band."""

    pair: Pair
    form: Form
    """Of the enhanced images."""
    device: str
    pixels: dict[Signal, Pixels] = field(default_factory=dict, init=False)
    """Of every signal, as they are written, on disk."""
    latents: dict[Signal, Tensor] = field(default_factory=dict, init=False)
    """Of the signals whose moments are wanted, (1, c, y, x)."""
    is_finite: bool = field(default=True, init=False)
    """Whether all that the networks made of it is."""
    marks: dict[Signal, Marks] = field(default_factory=dict, init=False)
    features: dict[Signal, SeenBy] = field(default_factory=dict, init=False)
    curve: dict[Signal, dict[str, float | None]] = field(default_factory=dict, init=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pair.raster.height, self.pair.raster.width

    @property
    def reference(self) -> Pixels | None:
        """Pixels of the ground truth, if there is one."""
        return None if self.pair.reference is None else self.pair.reference.pixels

    @cached_property
    def looked_at(self) -> Pixels:
        """The picture's pixels as networks see them."""
        return without_hidden(self.pair.raster)

    @cached_property
    def truth_looked_at(self) -> Pixels | None:
        """Pixels of the ground truth as networks see them, if there is one."""
        truth = None if self.pair.reference is None else self.pair.reference.raster
        return None if truth is None else without_hidden(truth)

    def images(self, rows: slice) -> Tensor:
        """Return rows of the picture as networks see them, (1, 3, r, w) in [0, 1]."""
        (band,) = bands_of(self.looked_at[rows], self.size[0], self.device)
        return band

    def truth(self, rows: slice) -> Tensor | None:
        """Return rows of the ground truth, (1, 3, r, w) in [0, 1]; None without one."""
        if self.truth_looked_at is None:
            return None
        (band,) = bands_of(self.truth_looked_at[rows], self.size[0], self.device)
        return band

    def look(self, rows: slice) -> Appearance:
        """Return the appearance of a band, as if it were a picture."""
        whole = self.pair.raster
        alpha = None if whole.alpha is None else whole.alpha[rows]
        part = replace(whole, pixels=whole.pixels[rows], alpha=alpha)
        depth = None if self.reference is None else self.reference.dtype
        opaque = opacity([part], self.device)
        return Appearance([part], depth, self.form, self.device, opaque)

    def require_finite(self, *made: Tensor) -> None:
        """Remember whether what the networks made, (1, …) each, is finite."""
        self.is_finite &= all(bool(finite(each)) for each in made)

    def write(self, signal: Signal, rows: slice, image: Tensor) -> None:
        """Write a band (1, 3, r, w) of a signal's image to the disk."""
        raster = self.pair.raster
        if signal not in self.pixels:
            depth = raster.depth if signal == INPUT else depth_written(raster, self.form)
            self.pixels[signal] = scratch_array(raster.pixels.shape, depth)
        self.require_finite(image)
        (self.pixels[signal][rows],) = self.look(rows).pixels(signal, image)
        let_go(self.pixels[signal])

    def let_go(self) -> None:
        """Leave to the disk what of the picture and its ground truth is there."""
        seen = self.looked_at, self.truth_looked_at
        for pixels in (self.pair.raster.pixels, self.reference, *seen):
            if pixels is not None:
                let_go(pixels)

    def rendered(self) -> Rendered:
        """Return what became of the picture."""
        if not self.is_finite:
            return Rendered(picture=self.pair.picture, reason=NOT_FINITE)
        return Rendered(
            picture=self.pair.picture,
            images=self.pixels,
            reference=self.reference,
            marks=self.marks,
            features=self.features,
            curve=self.curve,
            unscored=self.pair.unscored,
        )


def in_rows(bands: Iterator[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Yield bands (…, r, w) from top to bottom with their rows."""
    top = 0
    for band in bands:
        rows = slice(top, top + band.shape[-2])
        top = rows.stop
        yield rows, band
