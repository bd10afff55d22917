"""How images are to be written: a format, and the options of those that are lossy."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tasks.io.images.plug_in_format import PREFIX, PlugInFormat, plug_in_format
from tasks.io.images.raster import FileFormat, Raster

Format = str
"""A format that can be asked for: one of ``ASKED``, or that of a plug-in by ``plug-in:`` and its
name."""

ASKED: tuple[Format, ...] = ("webp", "png", "jpeg", "tiff", "avif", "jxl", "keep")
"""Formats that need no plug-in; ``keep`` is the one that each image came in."""

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


_OWN_ENDINGS = frozenset(holds.extension for holds in HOLDS.values())


def known_format(name: Format) -> Format:
    """Return the name of a format; whether the package of a plug-in is installed is not looked at.

    Raises:
        ValueError: there is none of this name.
    """
    if name in ASKED or re.fullmatch(rf"{PREFIX}[A-Za-z0-9][\w.-]*(==[\w.+!@-]+)?", name):
        return name
    raise ValueError(
        f"format must be one of {', '.join(ASKED)}, or {PREFIX}NAME for one that an installed "
        f"package brings, got {name!r}"
    )


def brought(file_format: str) -> PlugInFormat | None:
    """Return the plug-in of a format; None for a format that needs none.

    Raises:
        ConfigurationError: it is not installed, or does not do what it is for.
    """
    return plug_in_format(file_format, _OWN_ENDINGS) if file_format.startswith(PREFIX) else None


def pinned_format(name: Format) -> Format:
    """Return the name of a format; of a plug-in with the version that is installed here.

    Raises:
        ConfigurationError: its package is not installed.
    """
    plug_in = brought(name)
    return name if plug_in is None else plug_in.pinned


def holds_of(file_format: str) -> Holds:
    """Return what the files of a format can hold.

    Raises:
        ConfigurationError: it is that of a plug-in, which is not installed.
    """
    if (found := brought(file_format)) is None:
        return next(holds for name, holds in HOLDS.items() if name == file_format)
    return Holds(
        found.extension,
        found.longest_side,
        found.depths,
        alpha=found.alpha,
        grey=False,
        grey_with_alpha=False,
        is_lossless=found.lossless and not found.signature,
    )


@dataclass(frozen=True, slots=True)
class Form:
    """How images are to be written."""

    format: Format = "webp"
    quality: int = 95
    """From 1 to 100; no effect on lossless formats."""
    subsampling: Subsampling = "4:4:4"
    """No effect on lossless formats."""

    def of(self, raster: Raster) -> str:
        """Return the format in which an image is written."""
        return raster.file_format if self.format == "keep" else self.format

    @property
    def is_lossless(self) -> bool:
        """Whether any image has the very pixels after decoding that it was written with.

        It must be of the depth that ``depth_written`` says. Files that only a plug-in can read
        are not counted on.
        """
        return self.format != "keep" and holds_of(self.format).is_lossless

    @property
    def holding(self) -> dict[str, Any]:
        """What of it decides at what depth images are measured, and which it cannot hold."""
        plug_in = brought(self.format)
        return {"format": self.format} if plug_in is None else dict(plug_in.inputs)

    @property
    def inputs(self) -> dict[str, Any]:
        """What of it decides the bytes of a file, as fingerprints take it.

        Options that have no effect are left out, and so are defaults: that was all there was.
        """
        if (plug_in := brought(self.format)) is not None:
            return dict(plug_in.inputs)
        default, found = Form(self.format), {"format": self.format}
        if self.is_lossless:
            return found
        changed = {"quality": self.quality, "subsampling": self.subsampling}
        return found | {k: value for k, value in changed.items() if value != getattr(default, k)}


def extension_of(file_format: str) -> str:
    """Return the ending of file names for a format, without the dot."""
    return holds_of(file_format).extension


def file_format_of(extension: str) -> FileFormat:
    """Return the format of the files that are written with an ending of names."""
    return next(name for name, holds in HOLDS.items() if holds.extension == extension)
