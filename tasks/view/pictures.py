"""Pictures for a browser: the files of the workspace as they are, or converted and said so.

A browser is given a file only if it shows it as this project reads it: JPEG, PNG or WebP, of one
frame, grey or RGB, without anything that turns it or that tells its colours past the profile. All
others are decoded as everywhere, by child processes with limits, and sent as WebP without loss.
"""

import io
from typing import NamedTuple

from PIL import Image

from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images import Limits, Raster, Wanted
from tasks.io.images.conversion.shown import Shown
from tasks.io.images.decoder_pool import decode_written
from tasks.io.images.headers import is_plain
from tasks.io.images.metadata.found import found_by_pillow
from tasks.io.images.metadata.orientation import orientation_of
from tasks.io.images.opening import opened
from tasks.io.shards import Member, read_members
from tasks.view.viewed import Version, Viewed, members

MOST_PIXELS = 1 << 26
"""Pixels of the largest picture that a browser is sent; of a larger one it gets a smaller copy."""

THUMBNAIL = 192
"""Pixels of the longest side of a thumbnail."""

_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}

_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})

_OTHER_COLOURS = frozenset({"gamma", "chromaticity"})
"""What a PNG says of its colours that a browser obeys, and that is left out here."""

_LONGEST_WEBP = 16383


class Picture(NamedTuple):
    """A file for a browser, its media type, and what was done to it; empty where nothing was."""

    data: bytes
    media_type: str
    note: str


def find_member(viewed: Viewed, version: Version, shard: str, key: str) -> Member:
    """Return where a version of an image lies.

    Raises:
        ConfigurationError: there is no such shard, or no such image in it.
    """
    if shard not in viewed.shards:
        raise ConfigurationError(f"a shard must be one of the finished ones, got {shard!r}")
    found = members(viewed, version, shard).get(key)
    if found is None:
        raise ConfigurationError(
            f"an image must be one that {shard} has as {version.label}, got {key!r}"
        )
    return found


def picture(viewed: Viewed, member: Member) -> Picture:
    """Return an image for a browser, in its full size up to ``MOST_PIXELS``.

    Raises:
        ShardDamaged: its bytes are not there, or others.
        ImageRefused: it cannot be decoded.
    """
    data, limits = _read(viewed, member), viewed.run.config.shards.limits()
    fits = member.width * member.height <= MOST_PIXELS
    if fits and (media_type := _shown_as_it_is(data, limits)):
        return Picture(data, media_type, "")
    form = viewed.run.config.enhance.form
    raster = decode_written(form, data, limits, Wanted(first_frame=True))
    step = _step(member)
    shown = _image(raster)
    if step > 1:
        shown = shown.reduce(step)
    kind = "WEBP" if max(shown.size) <= _LONGEST_WEBP else "PNG"
    return Picture(_encoded(shown, kind), f"image/{kind.lower()}", _note(raster, step, kind))


def thumbnail(viewed: Viewed, member: Member) -> Picture:
    """Return a small copy of an image.

    The errors are those of ``picture``.
    """
    config, data = viewed.run.config, _read(viewed, member)
    wanted = Wanted(first_frame=True)
    raster = decode_written(config.enhance.form, data, config.shards.limits(), wanted)
    shown = _image(raster)
    profile = shown.info.get("icc_profile", b"")
    shown.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    out = io.BytesIO()
    shown.save(out, "WEBP", quality=82, icc_profile=profile)
    return Picture(out.getvalue(), "image/webp", "")


def _read(viewed: Viewed, member: Member) -> bytes:
    ((_, data),) = read_members(viewed.workspace.store, [member])
    return data


def _shown_as_it_is(data: bytes, limits: Limits) -> str:
    """The media type of a file that a browser shows as it is read here; empty for any other."""
    if not is_plain(data):
        return ""
    try:
        with opened(data, limits) as image:
            found = found_by_pillow(image.info)
            is_shown = (
                image.mode in _MODES
                and orientation_of(found.exif, found.xmp) == 1
                and _OTHER_COLOURS.isdisjoint(image.info)
                and b"cICP" not in data[:4096]
            )
            return _TYPES.get(str(image.format), "") if is_shown else ""
    except ImageRefused:
        return ""


def _image(raster: Raster) -> Image.Image:
    shown = Shown.of(raster)
    image = Image.fromarray(shown.pixels)
    image.info["icc_profile"] = shown.icc
    return image


def _encoded(image: Image.Image, kind: str) -> bytes:
    out, icc = io.BytesIO(), image.info.get("icc_profile", b"")
    fast = (
        {"lossless": True, "method": 0, "quality": 0} if kind == "WEBP" else {"compress_level": 1}
    )
    image.save(out, kind, icc_profile=icc, **fast)
    return out.getvalue()


def _step(member: Member) -> int:
    """By how much the sides of an image are divided for show."""
    step = 1
    while member.width * member.height > MOST_PIXELS * step * step:
        step += 1
    return step


def _note(raster: Raster, step: int, kind: str) -> str:
    """What was done to an image for show, in words."""
    had, now = raster.file_format.upper(), {"WEBP": "WebP"}.get(kind, kind)
    size = f", at 1/{step} of its size" if step > 1 else ""
    over = ", over white" if raster.alpha is not None else ""
    return f"converted for show from {had} of {raster.bits} bits to {now} of 8{size}{over}"
