"""The sections of the configuration on patches, and how many of them images have.

That is known, as far as it is, before a codec's network is loaded.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, field_validator

from dot_kernels.patches import Fold
from tasks.io.networks.autoencoders.taef2 import TinyFlux2
from tasks.io.networks.codecs import CodecSpec, Pixel
from tasks.io.section import Section

MANY_DIMENSIONS = 1024
"""Dimensions of a patch above which a user is warned: the moments of every image are then
matrices of more than 8 MB, and minutes pass before the map is there."""


class Patches(Section):
    """The patches of latent pixels that the transport maps."""

    size: Annotated[int, Field(ge=1, le=15)] | None = None
    """Side of a patch in latent pixels; null for what suits the codec: 1 for pixel, whose latent
    pixels are patches already, and 3 for auto-encoders, as in the paper."""
    fold: Fold = "uniform"
    """How overlapping mapped patches are averaged: uniform, or gaussian, in which the centre of
    a patch counts more; has no effect where ``size`` is 1."""


class Transport(Section):
    """What is moved beside latents."""

    levels: Literal["auto", "all", "none"] | tuple[Annotated[int, Field(ge=0)], ...] = "auto"
    """Levels of the decoder whose activations are moved too, each by a map of its own that is
    fitted on the output of those below: all that the codec has, none as in the paper, or a list
    of them, counted from 0 at the resolution of latents. auto: all but 0 with a tiny
    auto-encoder, with which it measured best, and none with other codecs."""
    level_patch: Literal[1, 3] = 1
    """Height and width of a patch of activations, in pixels of their level, if there are any."""

    @field_validator("levels")
    @classmethod
    def _levels_differ(cls, levels: str | tuple[int, ...]) -> str | tuple[int, ...]:
        if isinstance(levels, str):
            return levels
        if len(set(levels)) < len(levels):
            raise ValueError(f"levels must differ, got {list(levels)}")
        return tuple(sorted(levels))


class LatentSize(NamedTuple):
    """How large a codec's latents are, seen from an image."""

    channels: int
    """Of the latents."""
    factor: int
    """Number of image pixels for one latent pixel, along each side."""

    def patch_dimensions(self, size: int) -> int:
        """The dimensions of a patch of so many latent pixels in height and width."""
        return self.channels * size**2

    def patches_in(self, size: int, height: int, width: int) -> int:
        """How many patches an image has.

        Args:
            size: height and width of a patch in latent pixels.
            height: of the image in pixels.
            width: of the image in pixels.
        """
        rows, columns = height // self.factor - size + 1, width // self.factor - size + 1
        return max(0, rows) * max(0, columns)


def known_latents(codec: CodecSpec) -> LatentSize | None:
    """The size of a codec's latents; None for one whose own files say it."""
    if isinstance(codec, Pixel):
        return LatentSize(3 * codec.factor**2, codec.factor)
    return LatentSize(32, 8) if isinstance(codec, TinyFlux2) else None


def require_patches_of_crops(
    codec: CodecSpec, size: int, crops: Mapping[str, tuple[int, int]]
) -> None:
    """Check that cropped images have more patches than a patch has dimensions.

    Args:
        codec: nothing is checked if its own files say the size of its latents.
        size: height and width of a patch in latent pixels.
        crops: by the name of a data set, the side of its images in pixels and how many are used.

    Raises:
        ValueError: they do not.
    """
    if (latents := known_latents(codec)) is None:
        return
    for name, (side, images) in crops.items():
        dimensions = latents.patch_dimensions(size)
        patches = images * latents.patches_in(size, side, side)
        if patches <= dimensions:
            raise ValueError(too_few(repr(name), dimensions, patches, images))


def too_many(latents: LatentSize, size: int, level: int | None = None) -> str | None:
    """A sentence on patches whose map takes long; None where they are small enough.

    Args:
        latents: of the codec, or what its decoder shows at a level.
        size: height and width of a patch in pixels of these.
        level: of the decoder; None for latents.
    """
    dimensions = latents.patch_dimensions(size)
    if dimensions <= MANY_DIMENSIONS:
        return None
    largest = isqrt(MANY_DIMENSIONS // latents.channels)
    smaller = f"patches.size: {largest}" if largest else "a smaller codec.factor, as 8"
    if level is not None:
        smaller = "transport.level_patch: 1" if size > 1 else f"transport.levels without {level}"
    return (
        f"patches{_of_level(level)} have {dimensions:,} dimensions, more than "
        f"{MANY_DIMENSIONS:,}: the moments of every image take {8 * dimensions**2 / 1e6:,.0f} "
        f"MB, and the fit takes minutes to hours; write {smaller}, unless you mean it"
    )


def too_few(
    dataset: str, dimensions: int, patches: int, images: int, level: int | None = None
) -> str:
    """The sentence that no transport can be fitted to so few patches.

    Args:
        dataset: the images in words.
        dimensions: of a patch, of which there must be more.
        patches: how many there are at most.
        images: how many images have them.
        level: of the decoder; None for latents.
    """
    smaller = "a smaller patches.size, or a smaller codec.factor of the pixel codec"
    if level is not None:
        smaller = f"transport.level_patch: 1, or transport.levels without {level}"
    return (
        f"{dataset} must hold more patches than the {dimensions} dimensions of a patch"
        f"{_of_level(level)} for the fit, got {patches} at most of {images} image(s); use more or "
        f"larger images, {smaller}"
    )


def _of_level(level: int | None) -> str:
    return "" if level is None else f" at level {level}"
