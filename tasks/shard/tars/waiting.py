"""Images of a foreign tar that wait on disk until all of them are read, with what is beside them.

Images and sides go in, in the order of the tar; images with their sides come out, in the order
of their keys. Between, only keys, sizes and places are in memory.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import IO, NamedTuple

from tasks.io.letters import composed
from tasks.io.shards import Accepted, Refused
from tasks.io.shards.keys import key_mark
from tasks.io.shards.samples import LooseSide
from tasks.io.shards.sides import NONE, SideKind, several
from tasks.io.store import Slice


class _Waiting(NamedTuple):
    """An image whose bytes wait in a file."""

    image: Accepted | Refused
    """All of it but the bytes."""
    data: Slice | None = None
    """Where its bytes are; None if it is refused."""
    sides: Mapping[SideKind, Slice] = NONE
    """Where what stands beside it is."""


_Loose = Slice | str
"""Where in a file a side waits that stands apart from its image; or why it is left out."""


class WaitingImages:
    """The images of one tar; their bytes are in the file, which may be larger than memory.

    Args:
        spool: takes the bytes, and is read again.
        ambiguous: marks of composed keys that images elsewhere in the tar would get too.
    """

    def __init__(self, spool: IO[bytes], ambiguous: Collection[bytes] = ()) -> None:
        self._spool, self._ambiguous = spool, frozenset(ambiguous)
        self._images: list[_Waiting] = []
        self._loose: dict[str, dict[SideKind, _Loose]] = {}

    def add(self, image: Accepted | Refused) -> None:
        """Take in an image; its bytes go to the file, with what stands beside it."""
        if isinstance(image, Refused):
            self._images.append(_Waiting(image))
            return
        place = self._put(image.data)
        sides = {kind: self._put(data) for kind, data in image.sides.items()}
        bare = dataclasses.replace(image, data=b"", sides=NONE)
        self._images.append(_Waiting(bare, place, sides))

    def add_side(self, loose: LooseSide) -> None:
        """Take in a side that stands apart from its image, whether that has come or not."""
        sides, kind = self._loose.setdefault(loose.key, {}), loose.kind
        if kind in sides:
            sides[kind] = several(kind)
        elif loose.data is not None:
            sides[kind] = self._put(loose.data)
        else:
            sides[kind] = loose.reason or several(kind)

    def in_order(self) -> Iterator[Accepted | Refused]:
        """Yield all images in the order of their keys, whole.

        Keys come in composed letters (NFC), except where two would become equal.
        """
        forms = composed({waiting.image.key for waiting in self._images})
        if self._ambiguous:
            unsure = self._ambiguous
            forms = {key: form for key, form in forms.items() if key_mark(form) not in unsure}
        keyed = [
            each._replace(image=dataclasses.replace(each.image, key=forms[each.image.key]))
            if each.image.key in forms
            else each
            for each in map(self._with_loose_sides, self._images)
        ]
        keyed.sort(key=lambda each: (each.image.key, each.image.source))
        yield from map(self._whole, keyed)

    def _whole(self, waiting: _Waiting) -> Accepted | Refused:
        """Return an image with its bytes, read from the file."""
        if isinstance(waiting.image, Refused):
            return waiting.image
        data = b"" if waiting.data is None else self._read(waiting.data)
        sides = {kind: self._read(place) for kind, place in waiting.sides.items()}
        return dataclasses.replace(waiting.image, data=data, sides=sides)

    def _with_loose_sides(self, waiting: _Waiting) -> _Waiting:
        """Return an image with the sides that stand apart from it, if it has any."""
        image, loose = waiting.image, self._loose.get(waiting.image.key)
        if loose is None or isinstance(image, Refused):
            return waiting
        sides, left_out = dict(waiting.sides), dict(image.left_out)
        for kind, apart in loose.items():
            found = several(kind) if kind in sides or kind in left_out else apart
            if isinstance(found, str):
                sides.pop(kind, None)
                left_out[kind] = found
            else:
                sides[kind] = found
        return waiting._replace(image=dataclasses.replace(image, left_out=left_out), sides=sides)

    def _put(self, data: bytes) -> Slice:
        offset = self._spool.tell()
        self._spool.write(data)
        return Slice(offset, len(data))

    def _read(self, piece: Slice) -> bytes:
        self._spool.seek(piece.offset)
        return self._spool.read(piece.size)
