"""How images are to be written: a format, and the options of those that are lossy."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tasks.io.images.raster import FileFormat, Raster

Format = Literal["webp", "png", "jpeg", "tiff", "avif", "jxl", "keep"]
"""Formats that can be asked for; ``keep`` is the one that each image came in."""

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
"""At which resolution the colours of lossy formats are kept: full, half across, half both ways."""


class Holds(NamedTuple):
    """What the files of a format can hold, as they are written here."""

    extension: str
    """Ending of names, without the dot."""
    longest_side: int
    """In pixels; what the format, and the libraries that write it, can hold."""
    depths: tuple[str, ...] = ("uint8",)
    """Types of numbers, the largest last."""
    alpha: bool = True
    grey: bool = True
    """Whether there may be one channel of colour."""
    grey_with_alpha: bool = True
    is_lossless: bool = True
    """Whether numbers of these types come back as they were."""


HOLDS: dict[FileFormat, Holds] = {
    "webp": Holds("webp", 16_383, grey=False, grey_with_alpha=False),
    "png": Holds("png", 2**31 - 1, ("uint8", "uint16")),
    "jpeg": Holds("jpg", 65_500, alpha=False, is_lossless=False),
    "tiff": Holds("tif", 2**31 - 1, ("uint8", "uint16", "float32")),
    "bmp": Holds("bmp", 2**31 - 1, grey_with_alpha=False),
    "avif": Holds("avif", 32_768, ("uint8", "uint16"), grey_with_alpha=False, is_lossless=False),
    "heic": Holds("heic", 16_384, ("uint8", "uint16"), grey_with_alpha=False, is_lossless=False),
    "jxl": Holds("jxl", 2**30 - 1, ("uint8", "uint16", "float32")),
}
"""What each format can hold."""


@dataclass(frozen=True, slots=True)
class Form:
    """How images are to be written."""

    format: Format = "webp"
    quality: int = 95
    """From 1 to 100; no effect on lossless formats."""
    subsampling: Subsampling = "4:4:4"
    """No effect on lossless formats."""

    def of(self, raster: Raster) -> FileFormat:
        """Return the format in which an image is written."""
        return raster.file_format if self.format == "keep" else self.format

    @property
    def is_lossless(self) -> bool:
        """Whether any image has the very pixels after decoding that it was written with.

        It must be of the depth that ``depth_written`` says.
        """
        return self.format != "keep" and HOLDS[self.format].is_lossless

    @property
    def inputs(self) -> dict[str, Any]:
        """What of it decides the bytes of a file, as fingerprints take it.

        Options that have no effect are left out, and so are defaults: that was all there was.
        """
        default, found = Form(self.format), {"format": self.format}
        if self.is_lossless:
            return found
        changed = {"quality": self.quality, "subsampling": self.subsampling}
        return found | {k: value for k, value in changed.items() if value != getattr(default, k)}


def extension_of(file_format: FileFormat) -> str:
    """Return the ending of file names for a format, without the dot."""
    return HOLDS[file_format].extension


def file_format_of(extension: str) -> FileFormat:
    """Return the format of the files that are written with an ending of names."""
    return next(name for name, holds in HOLDS.items() if holds.extension == extension)
