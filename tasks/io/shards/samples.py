"""Samples of foreign tars: what the members of one key that stand side by side make together."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from tasks.io.store import stem

LARGEST_SIDE = 1 << 20
"""Bytes that a JSON member may have."""

SEVERAL_SIDES = "side left out: the sample has several JSON members"
"""Why an image has no side where a tar holds more than one for it."""

_INTEGERS = range(-(1 << 63), 1 << 64)
"""Integers of JSON that readers with 64 bits, signed or not, can hold."""


class Sample(NamedTuple):
    """An image of a tar, or the reason why there is none."""

    key: str
    source: str
    """The tar's path, a slash, and the member's name."""
    image: bytes | None
    reason: str | None = None
    """Why there is no image; beside an image, why there is no ``side``."""
    side: bytes | None = None
    """What is known of the image, as JSON."""


class LooseSide(NamedTuple):
    """What is known of an image, from a JSON member that stands apart from it."""

    key: str
    """Of the image, which may come before or after, or not at all."""
    side: bytes | None
    reason: str | None = None
    """Why there is no ``side``."""


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
    side: bytes | None = None
    note: str | None = None
    """Why there is no side, if a JSON member was there."""

    def add_side(self, data: bytes | None, size: int) -> None:
        """Add a JSON member, or the note why it is left out.

        Args:
            data: its bytes; None where they are too many to be read.
            size: how many they are.
        """
        if self.side is not None or self.note is not None:
            self.side, self.note = None, SEVERAL_SIDES
        elif data is None:
            self.note = f"side left out: JSON of {size} bytes, limit {LARGEST_SIDE}"
        elif _is_json(data):
            self.side = data
        else:
            self.note = "side left out: no valid JSON"

    def parts(self) -> Iterator[Sample | LooseSide]:
        """Yield the image that the members make, each refused one, or their JSON alone.

        Nothing comes of members that offer no image and have no JSON.
        """
        if self.image is not None:
            yield Sample(self.key, self.source, self.image, self.note, self.side)
        elif self.refusal is not None:
            yield Sample(self.key, self.source, None, self.refusal)
        elif self.others:
            yield from map(self._of_several_endings, self.others)
        elif self.unread and not self.is_taken:
            ending = self.unread.rpartition(".")[2]
            reason = f"of a format that is not read (.{ending}); convert it to PNG"
            yield Sample(self.key, self.unread, None, reason)
        elif not self.is_taken and (self.side is not None or self.note is not None):
            yield LooseSide(self.key, self.side, self.note)

    def _of_several_endings(self, source: str) -> Sample:
        """Return the row of an image that is a field of a sample without one, under its name."""
        ending = source[source.rfind("/") + 1 :].partition(".")[2]
        reason = f"several endings: WebDataset takes {ending!r} for its kind; rename it"
        own = stem(source)[source.rfind("/") + 1 :]
        folder = self.key[: self.key.rfind("/") + 1]
        return Sample(f"{folder}{own}", source, None, reason)


def _is_json(data: bytes) -> bool:
    """Whether any reader of JSON takes the bytes.

    Python's own takes more: NaN, halves of surrogate pairs, integers of more than 64 bits.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse, parse_int=_integer)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _integer(digits: str) -> int:
    number = int(digits)
    return number if number in _INTEGERS else _refuse(digits)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"JSON must be without {text}")
