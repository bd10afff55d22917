"""Image files: accepted formats, headers that are safe to parse, decoding.

Decoding child processes import this room, so it does without torch.
"""

from tasks.io.images.files import (
    EXTENSIONS,
    Format,
    Header,
    Limits,
    Pixels,
    encode,
    extension_of,
    fit_to,
    read_header,
)

__all__ = [
    "EXTENSIONS",
    "Format",
    "Header",
    "Limits",
    "Pixels",
    "encode",
    "extension_of",
    "fit_to",
    "read_header",
]
