"""The scan of a large foreign tar: its headers go in, the parts that it is cut into come out.

Cuts lie before the first member of a sample, with its extended headers. The samples are put
together by the reader that reads contents too, so both agree on what is one. What a part cannot
see by itself is noted for it: keys that images before it have, and where sides of its images lie
that stand far from them.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from tasks.io.images import Limits
from tasks.io.shards import foreign_tars
from tasks.io.shards.cuts.forms import Forms
from tasks.io.shards.cuts.parts import Across, Part, SideElsewhere
from tasks.io.shards.cuts.walk import SEGMENT, Found, walk
from tasks.io.shards.foreign_tars import Reading
from tasks.io.shards.keys import key_mark
from tasks.io.shards.samples import Group, LooseSide, Sample
from tasks.io.shards.sides import SideKind
from tasks.io.shards.tar_stream import Entry
from tasks.io.store.ranges import Fetch


class PartSize(NamedTuple):
    """How large parts are."""

    samples: int
    """A part ends with the sample that makes so many images and refused members."""
    size_bytes: int
    """Or with the one that makes so many bytes."""


class Source(NamedTuple):
    """A tar that is scanned."""

    path: str
    """In its corpus."""
    fetch: Fetch
    """Gives its bytes from a start to before an end, in any thread."""
    size: int
    """In bytes."""
    reached: Callable[[int], object] = lambda _: None
    """Called at every member with its place; what it raises ends the scan."""
    former: Sequence[Part] = ()
    """The parts that it was cut into before, while it was another: their cuts are kept as far as
    they still lie before samples."""


def scan(
    tar: Source,
    limits: Limits,
    kinds: Collection[SideKind],
    size: PartSize,
    key_of: Callable[[str], str] | None = None,
    segment: int = SEGMENT,
) -> list[tuple[Part, Across]]:
    """Return the parts that a tar is cut into, with what each must know of the others.

    A damaged tar is cut as far as its members can be found; the last part meets the damage.
    Memory holds some hundred bytes for every sample.

    Args:
        tar: the tar, uncompressed.
        limits: of the bytes of an image.
        kinds: of the sides that are read.
        size: of the parts.
        key_of: makes the key that a corpus gives an image; None where it changes none.
        segment: bytes of the tar that are walked through by a thread.
    """
    with closing(walk(tar.fetch, tar.size, segment)) as found:
        members = _Places(found, tar.reached)
        scanning = _Scanning(members, limits, tar, kinds, size, key_of)
        for sample in scanning.samples():
            scanning.note(sample)
    return scanning.parts(tar.size)


class _Places:
    """The members of a tar; what ``read`` gives is where the content lies, as JSON."""

    def __init__(self, found: Iterator[Found], reached: Callable[[int], object]) -> None:
        self._found, self._reached, self._content = found, reached, 0
        self.members = self.start = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry, start, content in self._found:
            self.members, self.start, self._content = entry.number, start, content
            self._reached(start)
            yield entry

    def read(self, entry: Entry) -> bytes:
        return json.dumps([self._content, entry.size]).encode()


class _Scanning(Reading):
    """Reads samples without contents, and notes where parts begin and what they share."""

    def __init__(
        self,
        members: _Places,
        limits: Limits,
        tar: Source,
        kinds: Collection[SideKind],
        size: PartSize,
        key_of: Callable[[str], str] | None,
    ) -> None:
        super().__init__(members, limits, tar.path, kinds)
        self._places, self._size, self._key_of = members, size, key_of
        self._former, self._refusals = tar.former, 0
        self._parts = [Part(0, 0, 0, 0, 0, 0, is_last=False, across="")]
        self._next: Part | None = None  # where it begins if anything comes that it can hold
        self._owners: dict[bytes, int] = {}  # parts by marks of the keys that images have
        self._renamed: dict[bytes, int] = self._owners if key_of is None else {}
        self._forms = Forms()
        self._taken_in: dict[int, set[bytes]] = {}
        self._renamed_in: dict[int, set[bytes]] = {}
        self._loose: list[tuple[int, SideElsewhere]] = []

    def begin(self, group: Group) -> None:
        """Begin a group; where the part is full, the next one may begin here."""
        self._may_cut()
        super().begin(group)

    def _refused(self, entry: Entry, name: str, reason: str) -> Sample:
        """Refuse a member; where the part is full and no group is open, the next may begin here."""
        if not self._group.key:
            self._may_cut()
        return super()._refused(entry, name, reason)

    def _may_cut(self) -> None:
        """Have the next part begin with the member that came last, if the part is full."""
        part, start = self._parts[-1], self._places.start
        size = self._size_of(part)
        is_full = part.samples >= size.samples or start - part.start >= size.size_bytes
        if is_full and start > part.start:
            members = self._places.members - 1
            self._next = part._replace(
                number=part.number + 1,
                start=start,
                samples=0,
                members=members,
                refused=self._refusals,
            )

    def _size_of(self, part: Part) -> PartSize:
        """Return how large a part may be: as large as it was, as long as former cuts are met.

        The last of the former parts ended with the tar, and may get more.
        """
        if part.number >= len(self._former):
            return self._size
        former = self._former[part.number]
        samples = max(self._size.samples, former.samples) if former.is_last else former.samples
        return PartSize(samples, max(self._size.size_bytes, former.place.size))

    def claim(self, key: str) -> bool:
        """Return whether no image before has the key; note it for the part where one has."""
        self._cut()
        return self._is_first(key_mark(key), self._owners, self._taken_in)

    def _cut(self) -> None:
        """Begin the next part, which has something in it now, if there may be one."""
        if self._next is not None:
            self._parts[-1] = self._parts[-1]._replace(end=self._next.start)
            self._parts.append(self._next)
            number = self._next.number
            if number < len(self._former) and self._former[number].start != self._next.start:
                self._former = ()
            self._next = None

    def note(self, sample: Sample | LooseSide) -> None:
        """Take in a sample, or a side that stands apart from its image."""
        key = sample.key if self._key_of is None else self._key_of(sample.key)
        if isinstance(sample, LooseSide):
            offset, size = (0, 0) if sample.data is None else json.loads(sample.data)
            side = SideElsewhere(key_mark(key), sample.kind, offset, size, sample.reason)
            self._loose.append((self._parts[-1].number, side))
            return
        self._cut()
        part = self._parts[-1]
        self._parts[-1] = part._replace(samples=part.samples + 1)
        is_image = sample.image is not None
        self._refusals += not is_image
        has_row = is_image or self._refusals <= foreign_tars.MOST_REFUSED
        if is_image and self._key_of is not None:
            is_image = self._is_first(key_mark(key), self._renamed, self._renamed_in)
            key = key if is_image else sample.key  # its row has its own, as the other is taken
        if has_row:
            self._forms.add(key, part.number, is_image=is_image)

    def parts(self, size: int) -> list[tuple[Part, Across]]:
        """Return all parts, now that all samples have come."""
        self._parts[-1] = self._parts[-1]._replace(end=size, is_last=True)
        sides: dict[int, list[SideElsewhere]] = {}
        for number, side in self._loose:
            owner = self._renamed.get(side.mark, number)
            if owner != number:
                sides.setdefault(owner, []).append(side)
        ambiguous = self._forms.ambiguous(self._renamed)
        found = list[tuple[Part, Across]]()
        for part in self._parts:
            known = Across(
                tuple(sorted(self._taken_in.get(part.number, ()))),
                tuple(sorted(self._renamed_in.get(part.number, ()))),
                tuple(ambiguous.get(part.number, ())),
                tuple(sides.get(part.number, ())),
            )
            found.append((part._replace(across=known.digest), known))
        return found

    def _is_first(
        self, mark: bytes, owners: dict[bytes, int], recurring: dict[int, set[bytes]]
    ) -> bool:
        """Return whether no image before has a key; it has an owner from now on."""
        number = self._parts[-1].number
        owner = owners.get(mark)
        if owner is None:
            owners[mark] = number
        elif owner != number:
            recurring.setdefault(number, set()).add(mark)
        return owner is None
