"""Foreign tars, WebDataset tars that others wrote: their samples, whatever the tar holds.

A sample's key is the path up to the first dot of its last part, and members of one key
that stand side by side are one sample, as in WebDataset: an image (``key.jpg``), its sides
(``key.txt``, ``key.cls``, ``key.json``), and members of other kinds, which are left alone, as
hidden ones are. A side that stands apart from its image is told by itself. Nothing is extracted
to disk, no link is followed, nothing is unpickled. All that is offered as an image becomes a
sample, with its bytes or with the reason why not.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import BinaryIO

from tasks.io.errors import TarDamaged
from tasks.io.images import EXTENSIONS, UNREAD_EXTENSIONS, Limits
from tasks.io.shards.keys import TOO_LONG, is_too_long, key_complaint, printable
from tasks.io.shards.samples import Group, LooseSide, Sample
from tasks.io.shards.sides import LARGEST_SIDE, SIDE_KINDS, SideKind
from tasks.io.shards.tar_stream import Entry, TarBlocks
from tasks.io.store import stem

MOST_REFUSED = 10_000
"""Refused members of a tar that get a row each; further ones are only counted. A member without
content takes 512 bytes of the tar, but several kilobytes of memory until its row is written."""

LONGEST_SHOWN = 1000
"""Letters of a refused member's key, and of its source, that are shown."""

_HERE = re.compile(r"\A(?:\./++)++")  # possessive: a repetition that is taken back takes memory


def read_samples(
    stream: BinaryIO, limits: Limits, source: str, kinds: Collection[SideKind] = SIDE_KINDS
) -> Iterator[Sample | LooseSide]:
    """Yield the samples of a tar in its order, one in memory at a time, and sides that are apart.

    A last sample without an image tells where a tar is damaged, one before it how many refused
    members have no sample of their own.

    Args:
        stream: an uncompressed tar, from its first byte; it is only read, never sought.
        limits: larger images are refused and not read into memory.
        source: path of the tar, for reasons and for names.
        kinds: of the sides that are read; others are left alone.
    """
    reading = _Reading(TarBlocks(stream), limits, source, kinds)
    refused = 0
    for sample in reading.samples():
        is_refused = isinstance(sample, Sample) and sample.image is None
        refused += is_refused
        if not is_refused or refused <= MOST_REFUSED:
            yield sample
    of_tar = partial(Sample, printable(stem(source)), printable(source), None)
    if refused > MOST_REFUSED:
        more = refused - MOST_REFUSED
        yield of_tar(f"more members refused: {more:,} after the first {MOST_REFUSED:,}")
    if reading.damage is not None:
        yield of_tar(reading.damage)


class _Reading:
    """Puts the members of one tar together into samples.

    ``damage`` says after ``samples`` has ended why it ended before the tar did, if so.
    """

    def __init__(
        self, blocks: TarBlocks, limits: Limits, source: str, kinds: Collection[SideKind]
    ) -> None:
        self._blocks, self._limits, self._source = blocks, limits, source
        self._kinds: dict[str, SideKind] = {kind: kind for kind in kinds}
        self._taken: set[bytes] = set()  # digests, as a tar may have millions of keys
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
                self._group = Group(key)
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
        group, mark = self._group, hashlib.blake2b(self._group.key.encode(), digest_size=16)
        if mark.digest() in self._taken:
            reason = "key taken: another member has it; rename one"
            group.is_taken = True
            yield Sample(group.key, self._place(name), None, reason)
            return
        self._taken.add(mark.digest())
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
