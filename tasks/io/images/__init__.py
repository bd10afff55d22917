"""Image files: which are accepted, and how they become pixels and pixels become files.

The child processes that decode images import this room, so it must not import torch.
"""

from tasks.io.images.files import (
    EXTENSIONS,
    UNREAD_EXTENSIONS,
    Header,
    ResizeFilter,
    fit_to,
    read_header,
)
from tasks.io.images.opening import Limits
from tasks.io.images.raster import FileFormat, Metadata, Pixels, Raster
from tasks.io.images.writers.encoding import complaint, depth_written, encode, encode_lossless
from tasks.io.images.writers.form import Form, Format, Subsampling, extension_of, file_format_of

__all__ = [
    "EXTENSIONS",
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
    "complaint",
    "depth_written",
    "encode",
    "encode_lossless",
    "extension_of",
    "file_format_of",
    "fit_to",
    "read_header",
]
