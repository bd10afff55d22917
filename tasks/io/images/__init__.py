"""Image files: which are accepted, and how they become pixels and pixels become files.

The child processes that decode images import this room, so it must not import torch.
"""

from tasks.io.images.conversion.fitting import ResizeFilter, fit_to
from tasks.io.images.decoding import EXTENSIONS, UNREAD_EXTENSIONS, Header, read_header
from tasks.io.images.files import (
    Format,
    encode,
    extension_of,
    is_lossless,
)
from tasks.io.images.limits import SEVERAL_FRAMES, Limits, Wanted
from tasks.io.images.raster import Metadata, Pixels, Raster

__all__ = [
    "EXTENSIONS",
    "SEVERAL_FRAMES",
    "UNREAD_EXTENSIONS",
    "Format",
    "Header",
    "Limits",
    "Metadata",
    "Pixels",
    "Raster",
    "ResizeFilter",
    "Wanted",
    "encode",
    "extension_of",
    "fit_to",
    "is_lossless",
    "read_header",
]
