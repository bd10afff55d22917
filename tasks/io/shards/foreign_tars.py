"""Foreign tars, WebDataset tars that others wrote: their samples, whatever the tar holds.

A sample's key is the path up to the first dot of its last part, and members of one key
that stand side by side are one sample, as in WebDataset: an image (``key.jpg``), what is
known of it (``key.json``, the side), and members of other kinds, which are left alone, as
hidden ones are. Nothing is extracted to disk, no link is followed, nothing is unpickled.
All that is offered as an image becomes a sample, with its bytes or with the reason why not.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, NamedTuple, NoReturn

from tasks.io.errors import TarDamaged
from tasks.io.images import EXTENSIONS, Limits
from tasks.io.shards.keys import SIDE_EXTENSION, TOO_LONG, is_too_long, key_complaint, printable
from tasks.io.shards.tar_stream import Entry, TarBlocks
from tasks.io.store import stem

LARGEST_SIDE = 1 << 20
"""Bytes that a JSON member may have."""

MOST_REFUSED = 10_000
"""Refused members of a tar that get a row each; further ones are only counted. A member without
content takes 512 bytes of the tar, but several kilobytes of memory until its row is written."""

LONGEST_SHOWN = 1000
"""Letters of a refused member's key, and of its source, that are shown."""

_HERE = re.compile(r"\A(?:\./++)++")  # possessive: a repetition that is taken back takes memory
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


def read_samples(stream: BinaryIO, limits: Limits, source: str) -> Iterator[Sample]:
    """Yield the samples of a tar in its order, one in memory at a time.

    A last sample without an image tells where a tar is damaged, one before it how many refused
    members have no sample of their own.

    Args:
        stream: an uncompressed tar, from its first byte; it is only read, never sought.
        limits: larger images are refused and not read into memory.
        source: path of the tar, for reasons and for names.
    """
    reading = _Reading(TarBlocks(stream), limits, source)
    refused = 0
    for sample in reading.samples():
        refused += sample.image is None
        if sample.image is not None or refused <= MOST_REFUSED:
            yield sample
    of_tar = partial(Sample, printable(stem(source)), printable(source), None)
    if refused > MOST_REFUSED:
        more = refused - MOST_REFUSED
        yield of_tar(f"more members refused: {more:,} after the first {MOST_REFUSED:,}")
    if reading.damage is not None:
        yield of_tar(reading.damage)


@dataclass
class _Group:
    """What was read so far of the members of one key that stand side by side."""

    key: str
    source: str = ""
    image: bytes | None = None
    refusal: str | None = None
    """Why the image is refused, if there is one."""
    others: str | None = None
    """Ending of an image with several, as ``mask.png``: another field than the image."""
    side: bytes | None = None
    note: str | None = None
    """Why there is no side, if a JSON member was there."""

    def sample(self) -> Sample | None:
        """Return the members as a sample; None if no image was offered."""
        if self.image is not None:
            return Sample(self.key, self.source, self.image, self.note, self.side)
        reason = self.refusal
        if reason is None and self.others is not None:
            reason = f"several endings: WebDataset takes {self.others!r} for its kind; rename it"
        return None if reason is None else Sample(self.key, self.source, None, reason)


class _Reading:
    """Puts the members of one tar together into samples.

    ``damage`` says after ``samples`` has ended why it ended before the tar did, if so.
    """

    def __init__(self, blocks: TarBlocks, limits: Limits, source: str) -> None:
        self._blocks, self._limits, self._source = blocks, limits, source
        self._taken: set[bytes] = set()  # digests, as a tar may have millions of keys
        self._group = _Group("")
        self.damage: str | None = None

    def samples(self) -> Iterator[Sample]:
        """Yield all samples that come before the end of the tar, or before its damage."""
        try:
            for entry in self._blocks:
                yield from self._take(entry)
        except TarDamaged as damage:
            self.damage = f"tar damaged after {self._blocks.members} members: {damage}"
        yield from self._finish()

    def _take(self, entry: Entry) -> Iterator[Sample]:
        """Add one member; yield it if it is refused, and the sample that it completes."""
        name = _HERE.sub("", entry.name)
        key, ending = _cut(name)
        complaint = _complaint(entry, name)
        if complaint is not None:
            yield self._refused(entry, name, complaint)
        elif key and key_complaint(name) is None and not _is_hidden(name):
            if key != self._group.key:
                yield from self._finish()
                self._group = _Group(key)
            if ending in EXTENSIONS:
                yield from self._image(entry, name)
            elif ending == SIDE_EXTENSION:
                self._side(entry)
            elif ending.rpartition(".")[2] in EXTENSIONS:
                self._group.others = ending
                self._group.source = self._group.source or self._place(name)

    def _finish(self) -> Iterator[Sample]:
        """Yield the sample of the present group, if it has one, and begin an empty group."""
        sample = self._group.sample()
        self._group = _Group("")
        if sample is not None:
            yield sample

    def _refused(self, entry: Entry, name: str, reason: str) -> Sample:
        key = _cut(name)[0] or name or f"{stem(self._source)}/{entry.number}"
        place = printable(f"{self._source}/{name}", LONGEST_SHOWN)
        return Sample(printable(key, LONGEST_SHOWN), place, None, reason)

    def _image(self, entry: Entry, name: str) -> Iterator[Sample]:
        """Add an image to the group; yield a refusal if an earlier image has the key."""
        group, mark = self._group, hashlib.blake2b(self._group.key.encode(), digest_size=16)
        if mark.digest() in self._taken:
            reason = "key taken: another member has it; rename one"
            yield Sample(group.key, self._place(name), None, reason)
            return
        self._taken.add(mark.digest())
        group.source = self._place(name)
        if entry.size > self._limits.max_bytes:
            group.refusal = f"file too large: {entry.size} bytes, limit {self._limits.max_bytes}"
        else:
            group.image = self._blocks.read(entry)

    def _side(self, entry: Entry) -> None:
        """Add a JSON member to the group, or the note why it is left out."""
        group = self._group
        if group.side is not None or group.note is not None:
            group.side, group.note = None, "side left out: the sample has several JSON members"
        elif entry.size > LARGEST_SIDE:
            group.note = f"side left out: JSON of {entry.size} bytes, limit {LARGEST_SIDE}"
        else:
            data = self._blocks.read(entry)
            if _is_json(data):
                group.side = data
            else:
                group.note = "side left out: no valid JSON"

    def _place(self, name: str) -> str:
        return printable(f"{self._source}/{name}")


def _complaint(entry: Entry, name: str) -> str | None:
    """Return why a member is refused: what it is, or its name if it may be an image; or None."""
    if entry.kind == "folder":
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
