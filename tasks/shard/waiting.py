"""Images of a foreign tar that wait on disk until all of them are read, and what is known of them.

Images and JSON go in, in the order of the tar; images with their JSON come out, in the order
of their keys. Between, only keys, sizes and places are in memory.
"""

import dataclasses
from collections.abc import Iterator
from typing import IO, NamedTuple

from tasks.io.letters import composed
from tasks.io.shards import Accepted, Refused
from tasks.io.shards.samples import SEVERAL_SIDES, LooseSide
from tasks.io.store import Slice


class _Waiting(NamedTuple):
    """An image whose bytes wait in a file."""

    image: Accepted | Refused
    """All of it but the bytes."""
    data: Slice | None = None
    """Where its bytes are; None if it is refused."""
    side: Slice | None = None
    """Where its JSON is; None if there is none."""


class _Loose(NamedTuple):
    """JSON that stands apart from its image, and waits in a file; or why there is none."""

    side: Slice | None
    reason: str | None = None


class WaitingImages:
    """The images of one tar; their bytes are in the file, which may be larger than memory.

    Args:
        spool: takes the bytes, and is read again.
    """

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._images: list[_Waiting] = []
        self._loose: dict[str, _Loose] = {}

    def add(self, image: Accepted | Refused) -> None:
        """Take in an image; its bytes go to the file, with the JSON that stands beside it."""
        if isinstance(image, Refused):
            self._images.append(_Waiting(image))
            return
        data, side = self._put(image.data), self._put(image.side)
        bare = dataclasses.replace(image, data=b"", side=None)
        self._images.append(_Waiting(bare, data, side))

    def add_side(self, loose: LooseSide) -> None:
        """Take in JSON that stands apart from its image, whether that has come or not."""
        if loose.key in self._loose:
            self._loose[loose.key] = _Loose(None, SEVERAL_SIDES)
        else:
            self._loose[loose.key] = _Loose(self._put(loose.side), loose.reason)

    def in_order(self) -> Iterator[Accepted | Refused]:
        """Yield all images in the order of their keys, whole.

        Keys come in composed letters (NFC), except where two would become equal.
        """
        forms = composed({waiting.image.key for waiting in self._images})
        keyed = [
            each._replace(image=dataclasses.replace(each.image, key=forms[each.image.key]))
            if each.image.key in forms
            else each
            for each in map(self._with_loose_side, self._images)
        ]
        keyed.sort(key=lambda each: (each.image.key, each.image.source))
        yield from map(self._whole, keyed)

    def _whole(self, waiting: _Waiting) -> Accepted | Refused:
        """Return an image with its bytes, read from the file."""
        if isinstance(waiting.image, Refused):
            return waiting.image
        data, side = self._read(waiting.data) or b"", self._read(waiting.side)
        return dataclasses.replace(waiting.image, data=data, side=side)

    def _with_loose_side(self, waiting: _Waiting) -> _Waiting:
        """Return an image with the JSON that stands apart from it, if it has any."""
        image, side = waiting.image, waiting.side
        loose = self._loose.get(image.key)
        if loose is None or isinstance(image, Refused):
            return waiting
        if side is not None or image.reason is not None:
            loose = _Loose(None, SEVERAL_SIDES)
        return waiting._replace(
            image=dataclasses.replace(image, reason=loose.reason), side=loose.side
        )

    def _put(self, data: bytes | None) -> Slice | None:
        if data is None:
            return None
        offset = self._spool.tell()
        self._spool.write(data)
        return Slice(offset, len(data))

    def _read(self, piece: Slice | None) -> bytes | None:
        if piece is None:
            return None
        self._spool.seek(piece.offset)
        return self._spool.read(piece.size)
