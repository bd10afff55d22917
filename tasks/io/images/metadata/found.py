"""What a file says beside its pixels: as it is found, and as it goes along."""

import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tasks.io.images.metadata import profiles
from tasks.io.images.metadata.exif import resolution_in
from tasks.io.images.metadata.orientation import upright_exif, upright_xmp
from tasks.io.images.metadata.tags import EXIF_PREFIX, directory_of_exif
from tasks.io.images.raster import Metadata

_XMP_IN_APP1 = b"http://ns.adobe.com/xap/1.0/\0"


def found_by_pillow(info: Mapping[Any, Any]) -> Metadata:
    """Return what Pillow has found in a file, ImageMagick's profiles in the text of a PNG too.

    Of XMP in a JPEG only the main packet is taken, not the one that it may be extended by.
    """
    app1 = _in_text(info, "APP1")
    xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or _in_text(info, "xmp")
    if not xmp and app1.startswith(_XMP_IN_APP1):
        xmp = app1.removeprefix(_XMP_IN_APP1)
    exif = info.get("exif") or _in_text(info, "exif")
    if not exif and app1.startswith(EXIF_PREFIX):
        exif = app1
    return Metadata(
        icc=info.get("icc_profile") or _in_text(info, "icc") or _in_text(info, "icm"),
        exif=exif.removeprefix(EXIF_PREFIX).removeprefix(EXIF_PREFIX),
        xmp=xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp),
        resolution=info.get("dpi"),
    )


def _in_text(info: Mapping[Any, Any], name: str) -> bytes:
    """Return what ImageMagick writes as text: three lines, and hexadecimal digits."""
    with suppress(ValueError):
        return bytes.fromhex("".join(str(info.get(f"Raw profile type {name}", "")).split("\n")[3:]))
    return b""


def settled(found: Metadata, channels: int, most_bytes: int) -> tuple[Metadata, str]:
    """Return what goes along with an upright image, and why parts of it do not.

    Args:
        found: as the file has it, Exif without its prefix.
        channels: of the image's colours: 1 of grey, 3 of RGB, 4 of CMYK.
        most_bytes: that profile, Exif and XMP may have together.

    Returns:
        What goes along; and remarks, empty where that is all.
    """
    kept, remarks, room = dict[str, bytes](), list[str](), most_bytes
    for name, data, what in (
        ("icc", found.icc, _complaint_of_profile(found.icc, channels)),
        ("exif", found.exif, _complaint_of_exif(found.exif)),
        ("xmp", found.xmp, None),
    ):
        reason = what or (f"has {len(data)} bytes" if len(data) > room else None)
        if reason is None:
            kept[name], room = data, room - len(data)
        else:
            remarks.append(f"{_NAMES[name]} left out: it {reason}")
    exif, xmp = upright_exif(kept.get("exif", b"")), upright_xmp(kept.get("xmp", b""))
    resolution = _sound(found.resolution) or _sound(resolution_in(exif))
    return Metadata(kept.get("icc", b""), exif, xmp, resolution), "; ".join(remarks)


_NAMES = {"icc": "colour profile", "exif": "Exif", "xmp": "XMP"}


def _complaint_of_profile(icc: bytes, channels: int) -> str | None:
    """Return why a profile is left out, by its structure and LittleCMS; None if it is not."""
    if not icc:
        return None
    if (complaint := profiles.complaint(icc, channels)) is not None:
        return complaint
    try:
        profiles.opened(icc)
    except OSError:
        return "is damaged: LittleCMS cannot open it"
    return None


def _complaint_of_exif(exif: bytes) -> str | None:
    if not exif:
        return None
    with suppress(struct.error):
        if directory_of_exif(exif) is not None:
            upright_exif(exif)
            return None
    return "is damaged"


def _sound(resolution: Any) -> tuple[float, float] | None:
    """Return a resolution if it may be one."""
    with suppress(TypeError, ValueError, ArithmeticError):
        across, down = map(float, resolution)
        if all(math.isfinite(each) and 0 < each < 1e6 for each in (across, down)):
            return across, down
    return None
