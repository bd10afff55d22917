"""A plug-in as a format of files that are written: described by its class, and looked at.

What an author writes is a class with attributes that say what its files can hold, ``encode`` from
pixels to bytes, and, where dotpipe does not read such files itself, ``decode`` back.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images.decoding import decode
from tasks.io.images.headers import extension_in
from tasks.io.images.limits import Limits
from tasks.io.images.raster import Metadata, Raster, full_intensity
from tasks.io.plug_ins.installed import Installed, find, in_words
from tasks.io.plug_ins.making import make

PREFIX = "plug-in:"
"""How the names of formats begin that packages bring; ``plug-in:NAME==VERSION`` pins one."""

_PINNED = "=="

_OF_SIDES = frozenset({"txt", "json", "cls"})
"""Endings of files beside images."""

_DEPTHS = ("uint8", "uint16", "float32")
_CARRIES = ("icc", "exif", "xmp")
_LONGEST_ENDING = 4
_PROBE = (24, 16)
"""Height and width of the image that a plug-in is tried out on."""


@dataclass(frozen=True, slots=True)
class PlugInFormat:
    """A format that an installed package brings."""

    plug_in: Installed
    made: Any
    """What its class has made, with ``encode`` and perhaps ``decode``."""
    extension: str
    """Ending of names, without the dot."""
    lossless: bool
    """Whether pixels come back as they were."""
    depths: tuple[str, ...]
    """Types of numbers that it holds, the largest last."""
    alpha: bool
    """Whether it is given a fourth channel of opacity where an image has one."""
    carries: tuple[str, ...]
    """What it keeps of that which a file says beside its pixels: icc, exif, xmp."""
    longest_side: int
    signature: bytes
    """How its files begin; empty where dotpipe reads them itself."""

    @property
    def pinned(self) -> str:
        """Its name with the version that is installed here, and the source if it is editable."""
        return f"{PREFIX}{self.plug_in.name}{_PINNED}{self.plug_in.pin}"

    @property
    def inputs(self) -> dict[str, Any]:
        """What decides the bytes of its files, as fingerprints take it."""
        return {"format": f"{PREFIX}{self.plug_in.name}", "plug_in": self.plug_in.identity}

    def write(self, samples: NDArray[Any], said: Metadata) -> bytes:
        """Return an image as a file.

        Args:
            samples: (h, w, 3), or (h, w, 4) with opacity, of one of the depths.
            said: what goes along, of which it is given what it carries.

        Raises:
            ConfigurationError: it fails, or gives no bytes, or not those of such a file.
        """
        beside = {name: getattr(said, name) for name in self.carries}
        rule = f"format {self.plug_in} must encode an image as bytes"
        try:
            data = self.made.encode(samples, **beside)
        except Exception as error:
            raise ConfigurationError(f"{rule}, got {in_words(error)}") from error
        if not isinstance(data, bytes) or not data:
            raise ConfigurationError(f"{rule}, got {type(data).__name__}")
        if not data.startswith(self.signature):
            raise ConfigurationError(
                f"{rule} that begin with its signature {self.signature!r}, got {data[:16]!r}"
            )
        return data

    def read(self, data: bytes, limits: Limits) -> Raster:
        """Return the image of a file that it has written.

        Raises:
            ImageRefused: it fails, or gives no image.
        """
        try:
            samples = np.asarray(self.made.decode(data))
        except Exception as error:
            raise ImageRefused(f"damaged: {self.plug_in.name}: {in_words(error)}") from error
        channels = (3, 4) if self.alpha else (3,)
        if (
            samples.ndim != 3
            or samples.shape[2] not in channels
            or str(samples.dtype) not in _DEPTHS
        ):
            raise ImageRefused(
                f"no image: {self.plug_in.name} decodes to {samples.shape} of {samples.dtype}"
            )
        limits.require_size(samples.shape[1], samples.shape[0])
        alpha = samples[..., 3] if samples.shape[2] == 4 else None
        bits = 8 * samples.dtype.itemsize
        return Raster(pixels=np.ascontiguousarray(samples[..., :3]), alpha=alpha, bits=bits)

    def complaint(self, said: Metadata) -> str | None:
        """Return which of an image's metadata it cannot hold; None if it holds them."""
        words = {"icc": "colour profile", "exif": "Exif", "xmp": "XMP"}
        for name, what in words.items():
            if getattr(said, name) and name not in self.carries:
                return f"{what}, which {PREFIX}{self.plug_in.name} cannot hold; png holds it"
        return None

    def try_out(self) -> None:
        """Write a small image of each depth, and read it again.

        Raises:
            ConfigurationError: it fails, or a format without loss gives other pixels.
        """
        height, width = _PROBE
        waves = 0.5 + 0.5 * np.sin(np.arange(height * width * 3) / 7).reshape(height, width, 3)
        limits = Limits(max_pixels=height * width, max_bytes=1 << 28)
        for depth in map(np.dtype, self.depths):
            samples = (waves * full_intensity(depth)).astype(depth)
            data = self.write(samples, Metadata())
            try:
                found = self._read_again(data, limits).pixels
            except ImageRefused as refusal:
                raise ConfigurationError(
                    f"format {self.plug_in} must decode what it encodes, got: {refusal}"
                ) from refusal
            if found.shape != samples.shape:
                raise ConfigurationError(
                    f"format {self.plug_in} must decode an image of the shape {samples.shape} that "
                    f"it encoded, got {found.shape}"
                )
            if self.lossless and not np.array_equal(found, samples):
                raise ConfigurationError(
                    f"format {self.plug_in} must give back the pixels of {depth} that it encoded, "
                    "as it says that it is lossless, got others"
                )

    def _read_again(self, data: bytes, limits: Limits) -> Raster:
        """Return the image of a file that it has written, as whoever reads it later does.

        Raises:
            ImageRefused: it cannot be decoded.
            ConfigurationError: it is a file of another format than its ending says.
        """
        if self.signature:
            return self.read(data, limits)
        found = decode(data, limits)
        if (ending := extension_in(data)) != self.extension:
            raise ConfigurationError(
                f"format {self.plug_in} must encode files of its ending .{self.extension}, got one "
                f"that ends in .{ending}; ask whoever wrote it"
            )
        return found


def plug_in_format(name: str, own: frozenset[str]) -> PlugInFormat:
    """Return the format of a name that begins with ``PREFIX``.

    Args:
        name: as the configuration has it.
        own: endings of files that dotpipe reads itself.

    Raises:
        ConfigurationError: no package brings it, it cannot be made, or says too little of itself.
    """
    entry, pin, version = name.removeprefix(PREFIX).partition(_PINNED)
    pinned = version if pin else None
    return _loaded(find("format", entry, version=pinned, field="enhance.format"), own)


@lru_cache(maxsize=8)
def _loaded(plug_in: Installed, own: frozenset[str]) -> PlugInFormat:
    made = make(plug_in, {}, "enhance.format")

    def told(name: str, default: Any) -> Any:
        return getattr(made, name, default)

    extension, signature = told("extension", None), told("signature", b"")
    is_read = isinstance(extension, str) and extension in own
    found = PlugInFormat(
        plug_in=plug_in,
        made=made,
        extension=extension,
        lossless=bool(told("lossless", False)),
        depths=tuple(told("depths", ("uint8",))),
        alpha=bool(told("alpha", False)),
        carries=tuple(told("carries", ())),
        longest_side=told("longest_side", 65_535),
        signature=b"" if is_read else signature,
    )
    rules = {
        "encode, a function": callable(told("encode", None)),
        f"extension, 1 to {_LONGEST_ENDING} small letters or digits": _is_ending(extension),
        f"depths, some of {', '.join(_DEPTHS)} in this order": _is_some_of(found.depths, _DEPTHS),
        f"carries, some of {', '.join(_CARRIES)} or none": set(found.carries) <= set(_CARRIES),
        "longest_side, a whole number from 1 up": _is_count(found.longest_side),
        "decode and signature, the bytes that its files begin with, as dotpipe does not read "
        f"files that end in .{extension}": is_read
        or (callable(told("decode", None)) and isinstance(signature, bytes) and bool(signature)),
    }
    if broken := [rule for rule, holds in rules.items() if not holds]:
        raise ConfigurationError(f"format {plug_in} must have {broken[0]}; ask whoever wrote it")
    return found


def _is_ending(extension: object) -> bool:
    if not isinstance(extension, str) or extension in _OF_SIDES:
        return False
    return re.fullmatch(rf"[a-z0-9]{{1,{_LONGEST_ENDING}}}", extension) is not None


def _is_some_of(found: tuple[str, ...], known: tuple[str, ...]) -> bool:
    return bool(found) and found == tuple(name for name in known if name in found)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and number >= 1
