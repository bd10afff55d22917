"""Colour profiles (ICC): whether one is whole and fits its image, and that of sRGB."""

import struct
from collections.abc import Mapping
from functools import cache
from io import BytesIO

import numpy as np
from PIL import ImageCms

_HEADER, _TAGS = 128, 132
_SIGNATURE = slice(36, 40)
_SPACE = slice(16, 20)
_DATE = slice(24, 36)
_SPACES: Mapping[int, bytes] = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
"""Spaces of colour by the number of channels."""

_MOST_TAGS = 1000
_D50 = (0.3457, 0.3585, 1.0)
_GREY_LEVELS = 1024


def complaint(icc: bytes, channels: int) -> str | None:
    """Return why a profile is left out; None if it is whole, and one of such an image.

    Only its structure is looked at, so that this may be asked of anything.

    Args:
        icc: the profile.
        channels: of the image's colours: 1 of grey, 3 of RGB, 4 of CMYK.
    """
    if len(icc) < _TAGS or icc[_SIGNATURE] != b"acsp":
        return "is no profile"
    (size,) = struct.unpack_from(">L", icc)
    if not _TAGS <= size <= len(icc):
        return f"is cut: it has {len(icc)} bytes of {size}"
    (count,) = struct.unpack_from(">L", icc, _HEADER)
    if count > _MOST_TAGS or _TAGS + 12 * count > size:
        return "is damaged: its tags lie outside of it"
    for _, place, length in struct.iter_unpack(">4sLL", icc[_TAGS : _TAGS + 12 * count]):
        if place + length > size:
            return "is damaged: its tags lie outside of it"
    if icc[_SPACE] != _SPACES[channels]:
        space = icc[_SPACE].decode("latin-1").strip()
        return f"is one of {ascii(space)[1:-1]}, and the image of {channels} channels"
    return None


def opened(icc: bytes) -> ImageCms.ImageCmsProfile:
    """Return a profile as LittleCMS has it; only for a process that may end over it.

    Raises:
        OSError: LittleCMS cannot open it.
    """
    return ImageCms.ImageCmsProfile(BytesIO(icc))


@cache
def srgb_profile(*, is_grey: bool = False) -> bytes:
    """Return the profile of sRGB, or of its grey; the same bytes at any time."""
    if is_grey:
        from imagecodecs import cms_profile

        levels = np.linspace(0, 1, _GREY_LEVELS)
        light = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
        whole = np.rint(light * 65535).astype(np.uint16)
        made = bytearray(cms_profile("gray", whitepoint=_D50, transferfunction=whole))
    else:
        made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # in place of the present moment
    return bytes(made)
