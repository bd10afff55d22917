"""Foreign tars, WebDataset tars that others wrote: their samples, whatever the tar holds.

A sample's key is the path up to the first dot of its last part, and members of one key
that stand side by side are one sample, as in WebDataset: an image (``key.jpg``), its sides
(``key.txt``, ``key.cls``, ``key.json``), and members of other kinds, which are left alone, as
hidden ones are. A side that stands apart from its image is told by itself. Nothing is extracted
to disk, no link is followed, nothing is unpickled. All that is offered as an image becomes a
sample, with its bytes or with the reason why not.
"""

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import Protocol

from tasks.io.errors import TarDamaged
from tasks.io.images import EXTENSIONS, UNREAD_EXTENSIONS, Limits
from tasks.io.shards.keys import TOO_LONG, is_too_long, key_complaint, key_mark, printable
from tasks.io.shards.samples import NOTHING_BEFORE, Before, Group, LooseSide, Sample
from tasks.io.shards.sides import LARGEST_SIDE, SIDE_KINDS, SideKind
from tasks.io.shards.tar_stream import Entry, Readable, TarBlocks
from tasks.io.store import stem

MOST_REFUSED = 10_000
"""Refused members of a tar that get a row each; further ones are only counted. A member without
content takes 512 bytes of the tar, but several kilobytes of memory until its row is written."""

LONGEST_SHOWN = 1000
"""Letters of a refused member's key, and of its source, that are shown."""

_HERE = re.compile(r"\A(?:\./++)++")  # possessive: a repetition that is taken back takes memory


def read_samples(
    stream: Readable,
    limits: Limits,
    source: str,
    kinds: Collection[SideKind] = SIDE_KINDS,
    before: Before = NOTHING_BEFORE,
) -> Iterator[Sample | LooseSide]:
    """Yield the samples of a tar in its order, one in memory at a time, and sides that are apart.

    A last sample without an image tells where a tar is damaged, one before it how many refused
    members have no sample of their own. Of a tar that is read in parts these come with the last
    one, and all parts together give what the whole tar gives, but that a side may be in another
    part than its image.

    Args:
        stream: an uncompressed tar, or a part of it; it is only read, never sought.
        limits: larger images are refused and not read into memory.
        source: path of the tar, for reasons and for names.
        kinds: of the sides that are read; others are left alone.
        before: what comes before a part, which begins and ends where ``scan`` has cut the tar.
    """
    blocks = TarBlocks(stream, before.members, is_cut=not before.is_last)
    reading = Reading(blocks, limits, source, kinds, before.taken)
    refused = before.refused
    for sample in reading.samples():
        is_refused = isinstance(sample, Sample) and sample.image is None
        refused += is_refused
        if not is_refused or refused <= MOST_REFUSED:
            yield sample
    of_tar = partial(Sample, printable(stem(source)), printable(source), None)
    if refused > MOST_REFUSED and before.is_last:
        more = refused - MOST_REFUSED
        yield of_tar(f"more members refused: {more:,} after the first {MOST_REFUSED:,}")
    if reading.damage is not None:
        yield of_tar(reading.damage)


class Members(Protocol):
    """The members of a tar in their order, as ``TarBlocks`` has them."""

    members: int
    """How many have come."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield all members; a TarDamaged ends them where the tar is damaged."""

    def read(self, entry: Entry) -> bytes:
        """Return the content of the member that came last."""


class Reading:
    """Puts the members of one tar together into samples.

    ``damage`` says after ``samples`` has ended why it ended before the tar did, if so.

    Args:
        members: of the tar, or of a part of it.
        limits: of the bytes of an image.
        source: path of the tar.
        kinds: of the sides that are read.
        taken: marks of keys that images before the part have.
    """

    def __init__(
        self,
        members: Members,
        limits: Limits,
        source: str,
        kinds: Collection[SideKind],
        taken: Collection[bytes] = (),
    ) -> None:
        self._blocks, self._limits, self._source = members, limits, source
        self._kinds: dict[str, SideKind] = {kind: kind for kind in kinds}
        self._taken = set(taken)  # digests, as a tar may have millions of keys
        self._group = Group("")
        self.damage: str | None = None

    def samples(self) -> Iterator[Sample | LooseSide]:
        """Yield all samples that come before the end of the tar, or before its damage."""
        try:
            for entry in self._blocks:
                yield from self._take(entry)
        except TarDamaged as damage:
            self.damage = f"tar damaged after {self._blocks.members} members: {damage}"
        yield from self._finish()

    def _take(self, entry: Entry) -> Iterator[Sample | LooseSide]:
        """Add one member; yield it if it is refused, and the sample that it completes."""
        name = _HERE.sub("", entry.name)
        key, ending = _cut(name)
        complaint = _complaint(entry, name)
        if complaint is not None:
            yield self._refused(entry, name, complaint)
        elif key and key_complaint(name) is None and not _is_hidden(name):
            if key != self._group.key:
                yield from self._finish()
                self.begin(Group(key))
            if ending in EXTENSIONS:
                yield from self._image(entry, name)
            elif (kind := self._kinds.get(ending)) is not None:
                fits = entry.size <= LARGEST_SIDE
                data = self._blocks.read(entry) if fits else None
                self._group.sides.add(kind, data, entry.size)
            elif ending.rpartition(".")[2] in EXTENSIONS:
                self._group.others.append(self._place(name))
            elif ending in UNREAD_EXTENSIONS:
                self._group.unread = self._place(name)

    def begin(self, group: Group) -> None:
        """Begin a group with the member that came last; all that came before is yielded."""
        self._group = group

    def claim(self, key: str) -> bool:
        """Return whether no image before has the key, which from now on is taken."""
        mark = key_mark(key)
        is_free = mark not in self._taken
        self._taken.add(mark)
        return is_free

    def _finish(self) -> Iterator[Sample | LooseSide]:
        """Yield what the present group makes, and begin an empty group."""
        yield from self._group.parts()
        self._group = Group("")

    def _refused(self, entry: Entry, name: str, reason: str) -> Sample:
        key = _cut(name)[0] or name or f"{stem(self._source)}/{entry.number}"
        place = printable(f"{self._source}/{name}", LONGEST_SHOWN)
        return Sample(printable(key, LONGEST_SHOWN), place, None, reason)

    def _image(self, entry: Entry, name: str) -> Iterator[Sample | LooseSide]:
        """Add an image to the group; yield a refusal if an earlier image has the key."""
        group = self._group
        if not self.claim(group.key):
            reason = "key taken: another member has it; rename one"
            group.is_taken = True
            yield Sample(group.key, self._place(name), None, reason)
            return
        group.source = self._place(name)
        if entry.size > self._limits.max_bytes:
            group.refusal = f"file too large: {entry.size} bytes, limit {self._limits.max_bytes}"
        else:
            group.image = self._blocks.read(entry)

    def _place(self, name: str) -> str:
        return printable(f"{self._source}/{name}")


def _complaint(entry: Entry, name: str) -> str | None:
    """Return why a member is refused: what it is, or its name if it may be an image; or None."""
    if entry.kind in ("folder", "volume label"):
        return None
    if entry.complaint is not None:
        return entry.complaint
    if is_too_long(entry.name):
        return TOO_LONG
    if entry.kind != "file":
        return f"not a file: {entry.kind}"
    _, dot, ending = name.rpartition(".")
    is_offered = not dot or "/" in ending or ending.lower() in EXTENSIONS
    return key_complaint(name) if is_offered else None


def _cut(name: str) -> tuple[str, str]:
    """Return key and ending, cut at the first dot of the last part; the ending in small letters."""
    folder, slash, base = name.rpartition("/")
    base, _, ending = base.partition(".")
    return f"{folder}{slash}{base}" if base else "", ending.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
