"""Image files: which are accepted, and how they become pixels and pixels become files.

The child processes that decode images import this room, so it must not import torch.
"""

from tasks.io.images.files import (
    EXTENSIONS,
    UNREAD_EXTENSIONS,
    Format,
    Header,
    ResizeFilter,
    encode,
    extension_of,
    fit_to,
    is_lossless,
    read_header,
)
from tasks.io.images.opening import Limits
from tasks.io.images.raster import Metadata, Pixels, Raster

__all__ = [
    "EXTENSIONS",
    "UNREAD_EXTENSIONS",
    "Format",
    "Header",
    "Limits",
    "Metadata",
    "Pixels",
    "Raster",
    "ResizeFilter",
    "encode",
    "extension_of",
    "fit_to",
    "is_lossless",
    "read_header",
]
