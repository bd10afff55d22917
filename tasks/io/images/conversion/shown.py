"""Images as a page shows them: of 8 bits and opaque, whatever they were."""

from typing import NamedTuple

import numpy as np

from tasks.io.images.raster import Pixels, Raster, full_intensity

_SPACE = slice(16, 20)
"""Where a colour profile says which space its colours are of."""


class Shown(NamedTuple):
    """An image as a page shows it: 8 bits, on white, with the colour profile of its file."""

    pixels: Pixels
    icc: bytes

    @classmethod
    def of(cls, raster: Raster) -> "Shown":
        """Return an image as a page shows it."""
        most = full_intensity(raster.depth)
        pixels = raster.pixels if most == 255 else raster.pixels.astype(np.float32) * (255 / most)
        if raster.alpha is not None:
            opacity = raster.alpha[..., None].astype(np.float32) / most
            pixels = 255 - opacity * (255 - pixels.astype(np.float32))
        profile = raster.metadata.icc
        is_for_rgb = profile[_SPACE] == b"RGB "  # one for grey does not fit three channels
        return cls(np.rint(pixels).astype(np.uint8), profile if is_for_rgb else b"")
