"""Colours converted to sRGB by profiles, with perceptual intent, at the depth that they have.

LittleCMS does it; that is for a process which may end over a profile.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tasks.io.images.metadata import profiles
from tasks.io.images.metadata.profiles import srgb_profile
from tasks.io.images.raster import Raster

Samples = NDArray[Any]
"""Colours (h, w) of grey, (h, w, 3) of RGB, or (h, w, 4) of CMYK, of any type of ``Pixels``."""

_INTENT = ImageCms.Intent.PERCEPTUAL
_NO_OPTIMISATION = 0x0100
"""LittleCMS's flag. Without it, a transform of 16 bits becomes a table of few colours, which is
wrong by up to 6 % of full intensity in saturated ones."""

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_SPACES = {1: "gray", 3: "rgb", 4: "cmyk"}
"""Spaces of colour by their channels, as Pillow and as imagecodecs call them."""

_STEPS = (0, 8, 32, 64, 96, 128, 160, 192, 224, 255)
_ROWS = 256


_UNUSABLE = "colour profile left out: LittleCMS cannot convert from it"


class ProfileUnusable(Exception):
    """LittleCMS opens a profile, and cannot convert from it."""


def in_srgb(raster: Raster) -> Raster:
    """Return an image in the colours of sRGB; the same where it is in them already.

    Images without a profile are, and so are those whose profile changes no colour of 8 bits
    by more than one level. A profile that cannot be converted from is left out, with a remark.
    """
    icc, own = raster.metadata.icc, srgb_profile(is_grey=raster.is_grey)
    if not icc or is_converted(raster):
        return raster
    colours: Samples = raster.pixels[..., 0] if raster.is_grey else raster.pixels
    try:
        if _is_srgb(icc, is_grey=raster.is_grey):
            return raster
        colours, icc, remark = converted(colours, icc), own, raster.remark
    except ProfileUnusable as error:
        icc, remark = b"", "; ".join(filter(None, (raster.remark, str(error))))
    if raster.is_grey:
        colours = np.broadcast_to(colours[..., None], (*colours.shape, 3))
    said = raster.metadata._replace(icc=icc)
    return replace(raster, pixels=colours, metadata=said, remark=remark)


def is_converted(raster: Raster) -> bool:
    """Whether the profile of an image is the one that those have which were converted."""
    return raster.metadata.icc == srgb_profile(is_grey=raster.is_grey)


def is_made_anew(raster: Raster) -> bool:
    """Whether an image that was to be in sRGB has other colours, or less profile, than its file."""
    return is_converted(raster) or _UNUSABLE in raster.remark


def _is_srgb(icc: bytes, *, is_grey: bool) -> bool:
    """Whether a profile changes no colour by more than one level of 8 bits."""
    steps = np.arange(256) if is_grey else list(product(_STEPS, repeat=3))
    colours = np.array(steps, np.uint8).reshape((1, -1) if is_grey else (1, -1, 3))
    return int(np.abs(converted(colours, icc).astype(int) - colours).max()) <= 1


def converted(colours: Samples, icc: bytes) -> Samples:
    """Return colours in those of sRGB, grey ones (h, w) in its grey, at the same depth.

    Args:
        colours: (h, w) of grey, (h, w, 3) of RGB, (h, w, 4) of CMYK.
        icc: the profile that they are in.

    Raises:
        ProfileUnusable: LittleCMS cannot convert from it.
    """
    channels = 1 if colours.ndim == 2 else colours.shape[2]
    own = srgb_profile(is_grey=channels == 1)
    try:
        return (_narrow if colours.dtype == np.uint8 else _wide)(colours, icc, own, channels)
    except (ImageCms.PyCMSError, ValueError, OSError, RuntimeError) as error:
        raise ProfileUnusable(_UNUSABLE) from error


def _narrow(colours: Samples, icc: bytes, own: bytes, channels: int) -> Samples:
    """Return colours of 8 bits converted, by Pillow's LittleCMS."""
    mode = _MODES[channels]
    image = Image.fromarray(np.ascontiguousarray(colours), mode)
    source, target = profiles.opened(icc), profiles.opened(own)
    shown = ImageCms.profileToProfile(
        image, source, target, _INTENT, "L" if channels == 1 else "RGB"
    )
    return np.asarray(shown)


def _wide(colours: Samples, icc: bytes, own: bytes, channels: int) -> Samples:
    """Return colours of more bits converted, which Pillow's cannot: without what makes it quick."""
    from imagecodecs import cms_transform

    result = np.empty(colours.shape[:2] + ((3,) if channels > 1 else ()), colours.dtype)
    for top in range(0, len(colours), _ROWS):
        rows = slice(top, top + _ROWS)
        result[rows] = cms_transform(
            np.ascontiguousarray(colours[rows]),
            icc,
            own,
            colorspace=_SPACES[channels],
            outcolorspace="gray" if channels == 1 else "rgb",
            intent=int(_INTENT),
            flags=_NO_OPTIMISATION,
        )
    return result.clip(0, 1) if result.dtype.kind == "f" else result


def cmyk_without_profile(samples: Samples) -> Samples:
    """Return numbers of CMYK (h, w, 4) of 8 or 16 bits in RGB, as Pillow does: inks are filters."""
    if samples.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "CMYK").convert("RGB"))
    full = np.uint32(65535)
    rgb = np.empty((*samples.shape[:2], 3), np.uint16)
    for top in range(0, len(samples), _ROWS):
        light = full - samples[top : top + _ROWS].astype(np.uint32)
        rgb[top : top + _ROWS] = (light[..., :3] * light[..., 3:] + full // 2) // full
    return rgb
