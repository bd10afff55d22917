"""Image files: which are accepted, and how they become pixels and pixels become files.

The child processes that decode images import this room, so it must not import torch.
"""

from tasks.io.images.conversion.fitting import ResizeFilter, fit_to
from tasks.io.images.decoding import EXTENSIONS, UNREAD_EXTENSIONS, Header, read_header
from tasks.io.images.limits import SEVERAL_FRAMES, Limits, Wanted
from tasks.io.images.raster import FileFormat, Metadata, Pixels, Raster
from tasks.io.images.writers.encoding import (
    complaint,
    depth_written,
    encode,
    encode_lossless,
    missing_library,
)
from tasks.io.images.writers.form import (
    ASKED,
    Form,
    Format,
    Subsampling,
    extension_of,
    file_format_of,
    known_format,
    pinned_format,
)

__all__ = [
    "ASKED",
    "EXTENSIONS",
    "SEVERAL_FRAMES",
    "UNREAD_EXTENSIONS",
    "FileFormat",
    "Form",
    "Format",
    "Header",
    "Limits",
    "Metadata",
    "Pixels",
    "Raster",
    "ResizeFilter",
    "Subsampling",
    "Wanted",
    "complaint",
    "depth_written",
    "encode",
    "encode_lossless",
    "extension_of",
    "file_format_of",
    "fit_to",
    "known_format",
    "missing_library",
    "pinned_format",
    "read_header",
]
