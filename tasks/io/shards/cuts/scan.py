"""The scan of a large foreign tar: its headers go in, the parts that it is cut into come out.

Cuts lie before the first member of a sample, with its extended headers. The samples are put
together by the reader that reads contents too, so both agree on what is one. What a part cannot
see by itself is noted for it: keys that images before it have, and where sides of its images lie
that stand far from them.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import NamedTuple

from tasks.io.images import Limits
from tasks.io.letters import compose
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
    """Called at every sample with the place of the last member; what it raises ends the scan."""


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
        members = _Places(found)
        scanning = _Scanning(members, limits, tar.path, kinds, size, key_of)
        for sample in scanning.samples():
            scanning.note(sample)
            tar.reached(members.start)
    return scanning.parts(tar.size)


class _Places:
    """The members of a tar; what ``read`` gives is where the content lies, as JSON."""

    def __init__(self, found: Iterator[Found]) -> None:
        self._found, self._content = found, 0
        self.members = self.start = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry, start, content in self._found:
            self.members, self.start, self._content = entry.number, start, content
            yield entry

    def read(self, entry: Entry) -> bytes:
        return json.dumps([self._content, entry.size]).encode()


class _Scanning(Reading):
    """Reads samples without contents, and notes where parts begin and what they share."""

    def __init__(
        self,
        members: _Places,
        limits: Limits,
        source: str,
        kinds: Collection[SideKind],
        size: PartSize,
        key_of: Callable[[str], str] | None,
    ) -> None:
        super().__init__(members, limits, source, kinds)
        self._places, self._size, self._key_of = members, size, key_of
        self._refusals = 0
        self._parts = [Part(0, 0, 0, 0, 0, 0, is_last=False, across="")]
        self._next: Part | None = None  # where it begins if anything comes that it can hold
        self._owners: dict[bytes, int] = {}  # parts by marks of the keys that images have
        self._renamed: dict[bytes, int] = self._owners if key_of is None else {}
        self._forms = _Forms()
        self._taken_in: dict[int, set[bytes]] = {}
        self._renamed_in: dict[int, set[bytes]] = {}
        self._loose: list[tuple[int, SideElsewhere]] = []

    def begin(self, group: Group) -> None:
        """Begin a group; where the part is full, the next one may begin here."""
        part, start = self._parts[-1], self._places.start
        is_full = part.samples >= self._size.samples or start - part.start >= self._size.size_bytes
        if is_full and start > part.start:
            members = self._places.members - 1
            self._next = part._replace(
                number=part.number + 1,
                start=start,
                samples=0,
                members=members,
                refused=self._refusals,
            )
        super().begin(group)

    def claim(self, key: str) -> bool:
        """Return whether no image before has the key; note it for the part where one has."""
        self._cut()
        return self._is_first(key_mark(key), self._owners, self._taken_in)

    def _cut(self) -> None:
        """Begin the next part, which has something in it now, if there may be one."""
        if self._next is not None:
            self._parts[-1] = self._parts[-1]._replace(end=self._next.start)
            self._parts.append(self._next)
            self._next = None

    def note(self, sample: Sample | LooseSide) -> None:
        """Take in a sample, or a side that stands apart from its image."""
        if isinstance(sample, Sample):
            self._cut()
        part = self._parts[-1]
        key = sample.key if self._key_of is None else self._key_of(sample.key)
        if isinstance(sample, LooseSide):
            offset, size = (0, 0) if sample.data is None else json.loads(sample.data)
            side = SideElsewhere(key_mark(key), sample.kind, offset, size, sample.reason)
            self._loose.append((part.number, side))
            return
        self._parts[-1] = part._replace(samples=part.samples + 1)
        self._refusals += sample.image is None
        self._forms.add(key)
        if sample.image is not None and self._key_of is not None:
            self._is_first(key_mark(key), self._renamed, self._renamed_in)

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
                ambiguous,
                tuple(sides.get(part.number, ())),
            )
            digest = hashlib.sha256(repr(known).encode()).hexdigest()[:32]
            found.append((part._replace(across=digest), known))
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


class _Forms:
    """Keys with letters that may be composed."""

    def __init__(self) -> None:
        self._by_form: dict[bytes, bytes] = {}  # marks of keys, by marks of their composed forms
        self._several = set[bytes]()

    def add(self, key: str) -> None:
        """Take in the key of a sample."""
        if not key.isascii():
            form, mark = key_mark(compose(key)), key_mark(key)
            if self._by_form.setdefault(form, mark) != mark:
                self._several.add(form)

    def ambiguous(self, keys: Collection[bytes]) -> tuple[bytes, ...]:
        """Return marks of composed keys that two different keys would get, in order.

        Args:
            keys: marks of all keys of images.
        """
        taken = {form for form, mark in self._by_form.items() if form != mark and form in keys}
        return tuple(sorted(taken | self._several))
