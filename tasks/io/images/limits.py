"""Which images are too large, too small, or more than one; and what is asked of a decoder."""

from dataclasses import dataclass

from tasks.io.errors import ImageRefused

SHORTEST_SIDE = 8
"""Smaller images are refused: a latent pixel of the usual codecs is 8 pixels wide."""

SEVERAL_FRAMES = "animated or of several pages"
"""Why a file is refused that holds more than one image, unless the first one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest image that is accepted: its width times height, and its file."""

    max_pixels: int
    max_bytes: int

    def require_size(self, width: int, height: int) -> None:
        """Check the size of an image.

        Raises:
            ImageRefused: it is too large, or too small.
        """
        if width * height > self.max_pixels:
            raise ImageRefused(f"too many pixels: {width}×{height}, limit {self.max_pixels}")
        if min(width, height) < SHORTEST_SIDE:
            raise ImageRefused(
                f"too small: {width}×{height}, at least {SHORTEST_SIDE} pixels a side"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is taken of a file, and in which colours."""

    first_frame: bool = False
    """Whether the first frame or page is taken of several; else such a file is refused."""
    srgb: bool = False
    """Whether the numbers are converted to sRGB from what the file's profile says."""


AS_IT_IS = Wanted()
