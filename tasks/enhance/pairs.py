"""Windows of pictures, and pairs of a picture and its ground truth, where there is any."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tasks.io.images import Format, Pixels
from tasks.io.images.files import too_long
from tasks.io.shards.loader import Picture, equal_sizes
from tasks.io.workspace import Signal


class Window(NamedTuple):
    """Pictures that are in memory together, and what belongs to them."""

    pictures: list[Picture]
    references: dict[str, Picture]
    """Ground truth by key, refused ones included."""
    written: Mapping[Signal, Mapping[str, Pixels]]
    """The images of signals that were written before, by key; empty where none are read."""


class Pair(NamedTuple):
    """A decoded picture with its usable ground truth, or with the reason why there is none."""

    picture: Picture
    reference: Picture | None
    unscored: str | None
    """Why the picture cannot be scored; None where there is a reference."""


def without_oversized(pictures: Sequence[Picture], file_format: Format) -> list[Picture]:
    """Return the pictures; those that a format cannot hold have a reason instead of pixels."""
    return [_checked(picture, file_format) for picture in pictures]


def paired_groups(
    pictures: Sequence[Picture], references: Mapping[str, Picture], missing: str, batch: int
) -> Iterator[list[Pair]]:
    """Yield decoded pictures in groups of one size, all with a reference or all without.

    Args:
        pictures: of one window; those without pixels are left out.
        references: ground truth by key, refused ones included.
        missing: what to say of a picture whose key has no reference.
        batch: pictures in a group, at most.
    """
    for group in equal_sizes(pictures, batch):
        pairs = [_pair(picture, references.get(picture.member.key), missing) for picture in group]
        with_reference = [pair for pair in pairs if pair.reference is not None]
        without = [pair for pair in pairs if pair.reference is None]
        yield from filter(None, (with_reference, without))


def _checked(picture: Picture, file_format: Format) -> Picture:
    """Return a picture; one that is too long for the format has a reason instead of pixels."""
    reason = picture.pixels is not None and too_long(picture.pixels, file_format)
    return picture.refused(reason) if reason else picture


def _pair(picture: Picture, reference: Picture | None, missing: str) -> Pair:
    """Return a picture with its reference, which must be decoded and of the same size."""
    if reference is None:
        return Pair(picture, None, missing)
    if reference.pixels is None:
        return Pair(picture, None, f"reference refused: {reference.reason}")
    if picture.pixels is not None and reference.pixels.shape != picture.pixels.shape:
        ours, theirs = (f"{s[1]}×{s[0]}" for s in (picture.pixels.shape, reference.pixels.shape))
        return Pair(picture, None, f"reference of another size: {theirs} against {ours}")
    return Pair(picture, reference, None)
