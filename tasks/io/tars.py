"""Somebody else's WebDataset tars: samples from a stream, whatever the stream holds.

A sample's key is the path up to the first dot of its last part, and members of one key
that stand side by side are one sample, as in WebDataset: an image (``key.jpg``), what is
known of it (``key.json``), and members of other kinds, which are left alone, as hidden
ones are. Nothing is extracted to disk, no link is followed, nothing is unpickled. All
that is offered as an image ends as a sample, with its bytes or with the reason why not.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, NoReturn

from tasks.io.errors import TarDamaged
from tasks.io.images import EXTENSIONS, Limits
from tasks.io.listing import stem
from tasks.io.names import SIDE_EXTENSION, key_complaint, printable
from tasks.io.tar_blocks import Entry, TarBlocks

LARGEST_SIDE = 1 << 20
"""Bytes of a JSON member."""


class Sample(NamedTuple):
    """An image of a tar, or the reason why there is none.

    ``source`` is the tar's path and the member's name; ``reason`` beside an image says
    why what is known of it (``side``, JSON) is left out.
    """

    key: str
    source: str
    image: bytes | None
    reason: str | None = None
    side: bytes | None = None


def read_samples(stream: BinaryIO, limits: Limits, source: str) -> Iterator[Sample]:
    """The samples of a tar in its order, one in memory at a time; the stream never seeks.

    Args:
        stream: an uncompressed tar, from its first byte.
        limits: larger images are refused and not read into memory.
        source: path of the tar, for reasons and for names.
    """
    blocks = TarBlocks(stream)
    reading = _Reading(blocks, limits, source)
    try:
        for entry in blocks:
            yield from reading.take(entry)
        yield from reading.finish()
    except TarDamaged as damage:
        yield from reading.finish()
        reason = f"tar damaged after {blocks.members} members: {damage}"
        yield Sample(printable(stem(source)), printable(source), None, reason)


@dataclass
class _Group:
    """The members of one key that stand side by side."""

    key: str
    source: str = ""
    image: bytes | None = None
    refusal: str | None = None
    others: str | None = None
    """An image of several endings, which is another field than the sample's image."""
    side: bytes | None = None
    note: str | None = None

    def sample(self) -> Sample | None:
        """The whole, if an image was offered."""
        if self.image is not None:
            return Sample(self.key, self.source, self.image, self.note, self.side)
        reason = self.refusal
        if reason is None and self.others is not None:
            reason = f"several endings: WebDataset takes {self.others!r} for its kind; rename it"
        return None if reason is None else Sample(self.key, self.source, None, reason)


class _Reading:
    """Members in, samples out."""

    def __init__(self, blocks: TarBlocks, limits: Limits, source: str) -> None:
        self._blocks, self._limits, self._source = blocks, limits, source
        self._taken: set[bytes] = set()  # digests, as a tar may have millions of keys
        self._group = _Group("")

    def take(self, entry: Entry) -> Iterator[Sample]:
        """Add one member; yields what it refuses or completes."""
        name = entry.name
        while name.startswith("./"):
            name = name[2:].lstrip("/")
        key, ending = _cut(name)
        complaint = self._complaint(entry, name, key)
        if complaint is not None:
            yield self._refused(entry, name, complaint)
        elif key and key_complaint(name) is None and not _is_hidden(name):
            if key != self._group.key:
                yield from self.finish()
                self._group = _Group(key)
            if ending in EXTENSIONS:
                yield from self._image(entry, name)
            elif ending == SIDE_EXTENSION:
                self._side(entry)
            elif ending.rpartition(".")[2] in EXTENSIONS:
                self._group.others = ending
                self._group.source = self._group.source or self._place(name)

    def finish(self) -> Iterator[Sample]:
        """The sample that is under way, if there is one."""
        sample = self._group.sample()
        self._group = _Group("")
        if sample is not None:
            yield sample

    def _complaint(self, entry: Entry, name: str, key: str) -> str | None:
        """Why a member is refused for what it is, or for its name if it is offered."""
        if entry.kind == "folder":
            return None
        if entry.complaint is not None:
            return entry.complaint
        if entry.kind != "file":
            return f"not a file: {entry.kind}"
        _, dot, ending = name.rpartition(".")
        is_offered = not dot or "/" in ending or ending.lower() in EXTENSIONS
        return key_complaint(name) if is_offered else None

    def _refused(self, entry: Entry, name: str, reason: str) -> Sample:
        key = _cut(name)[0] or name or f"{stem(self._source)}/{entry.number}"
        return Sample(printable(key), self._place(name), None, reason)

    def _image(self, entry: Entry, name: str) -> Iterator[Sample]:
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


def _cut(name: str) -> tuple[str, str]:
    """Key and ending, in small letters: cut at the first dot of the last part."""
    folder, slash, base = name.rpartition("/")
    base, _, ending = base.partition(".")
    return f"{folder}{slash}{base}" if base else "", ending.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _is_json(data: bytes) -> bool:
    """Whether every reader of JSON takes the bytes: UTF-8, no NaN, not too deep."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"JSON must be without {constant}")

    try:
        json.loads(data.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True
