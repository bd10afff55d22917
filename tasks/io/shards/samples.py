"""Samples of foreign tars: what the members of one key that stand side by side make together."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.io.shards.sides import NONE, SideKind, Sides
from tasks.io.store import stem


class Sample(NamedTuple):
    """An image of a tar, or the reason why there is none."""

    key: str
    source: str
    """The tar's path, a slash, and the member's name."""
    image: bytes | None
    reason: str | None = None
    """Why there is no image; None beside one."""
    sides: Mapping[SideKind, bytes] = NONE
    """What stands beside the image."""
    left_out: Mapping[SideKind, str] = NONE
    """Why sides that were there are not."""


class LooseSide(NamedTuple):
    """A side that stands apart from its image."""

    key: str
    """Of the image, which may come before or after, or not at all."""
    kind: SideKind
    data: bytes | None
    reason: str | None = None
    """Why there is no ``data``."""


class Before(NamedTuple):
    """What comes before a part of a tar, as far as it decides what the part gives."""

    members: int = 0
    """How many members."""
    refused: int = 0
    """How many of these were refused."""
    taken: Collection[bytes] = ()
    """Marks of keys of images before, if only of those that come again in the part."""
    is_last: bool = True
    """Whether nothing comes behind the part."""


NOTHING_BEFORE = Before()
"""For a tar that is read as one."""


@dataclass
class Group:
    """What was read so far of the members of one key that stand side by side."""

    key: str
    source: str = ""
    image: bytes | None = None
    refusal: str | None = None
    """Why the image is refused, if there is one."""
    is_taken: bool = False
    """Whether an earlier image has the key, so that nothing here is known of that one."""
    others: list[str] = field(default_factory=list)
    """Sources of images with several endings, as ``a.mask.png``: other fields than the image."""
    unread: str = ""
    """Source of a picture of a format that is not read; empty without one."""
    sides: Sides = field(default_factory=Sides)

    def parts(self) -> Iterator[Sample | LooseSide]:
        """Yield the image that the members make, each refused one, or their sides alone.

        Nothing comes of members that offer no image and no side.
        """
        if self.image is not None:
            kept, left_out = self.sides.kept, self.sides.left_out
            yield Sample(self.key, self.source, self.image, None, kept, left_out)
        elif self.refusal is not None:
            yield Sample(self.key, self.source, None, self.refusal)
        elif self.others:
            yield from map(self._of_several_endings, self.others)
        elif self.unread and not self.is_taken:
            ending = self.unread.rpartition(".")[2]
            reason = f"of a format that is not read (.{ending}); convert it to PNG"
            yield Sample(self.key, self.unread, None, reason)
        elif not self.is_taken:
            yield from self._loose_sides()

    def _loose_sides(self) -> Iterator[LooseSide]:
        for kind, data in self.sides.kept.items():
            yield LooseSide(self.key, kind, data)
        for kind, reason in self.sides.left_out.items():
            yield LooseSide(self.key, kind, None, reason)

    def _of_several_endings(self, source: str) -> Sample:
        """Return the row of an image that is a field of a sample without one, under its name."""
        ending = source[source.rfind("/") + 1 :].partition(".")[2]
        reason = f"several endings: WebDataset takes {ending!r} for its kind; rename it"
        own = stem(source)[source.rfind("/") + 1 :]
        folder = self.key[: self.key.rfind("/") + 1]
        return Sample(f"{folder}{own}", source, None, reason)
