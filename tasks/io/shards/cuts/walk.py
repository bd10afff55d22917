"""All members of a tar in order, by its headers alone, many of which are asked for at once.

Where a header lies, only the one before it tells. So a tar is walked through in segments side by
side, each from what looks like a header near its beginning. What was found counts only from where
the walk through the segments before it arrives at one of the headers; until then this walk goes
on. So something that looks like a header within a content, as of a tar in a tar, costs time and
changes nothing.
"""

from collections.abc import Container, Generator, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import NamedTuple

from tasks.io.errors import TarDamaged
from tasks.io.machine.threads import SIDE_BY_SIDE, ordered_map
from tasks.io.shards.cuts.window import NEAR, Window
from tasks.io.shards.tar_headers import BLOCK, parsed
from tasks.io.shards.tar_stream import Entry, TarBlocks
from tasks.io.store.ranges import Fetch

SEGMENT = 1 << 28
"""Bytes of a segment."""

MOST_HELD = 1 << 14
"""Members of a segment that are found ahead, for memory's sake: if there are more, the others are
found when their turn comes."""

_FARTHEST = 1 << 24
"""Bytes of a segment in which a header is looked for."""

_MAGIC = b"ustar"
_MAGIC_AT = 257


class Found(NamedTuple):
    """A member, and where it lies in its tar, in bytes."""

    entry: Entry
    start: int
    """Of its first header: extended ones belong to it."""
    content: int


class _Segment(NamedTuple):
    """What a walk from the first header of a segment has found."""

    end: int
    """Of the segment."""
    members: list[Found]
    """Those that begin in it."""
    behind: int | None = None
    """Where the next one begins, mostly behind the segment; None if the tar ends, or is damaged."""
    damage: TarDamaged | None = None
    """Why the walk has ended, if the tar is damaged."""


def walk(fetch: Fetch, size: int, segment: int = SEGMENT) -> Generator[Found]:
    """Yield the members of a tar in its order, with the numbers that they have in it.

    Once the generator is closed nothing more is asked for, so that threads end that are ahead.

    Args:
        fetch: gives the tar's bytes from a start to before an end, in any thread.
        size: of the tar in bytes.
        segment: bytes of a segment.

    Raises:
        TarDamaged: the tar cannot be read any further, as ``TarBlocks`` says.
    """
    starts, is_over = range(0, max(size, 1), segment), Event()

    def asked(start: int, end: int) -> bytes:
        if is_over.is_set():
            raise CancelledError("nobody wants the members of this tar any more")
        return fetch(start, end)

    def walked(start: int) -> _Segment:
        return _walked(asked, size, start, min(start + segment, size))

    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="headers") as pool:
        segments = ordered_map(pool, walked, starts, ahead=SIDE_BY_SIDE)
        try:
            for number, found in enumerate(_joined(asked, size, segments), start=1):
                yield found._replace(entry=found.entry._replace(number=number))
        finally:
            is_over.set()


def _joined(fetch: Fetch, size: int, segments: Iterator[_Segment]) -> Iterator[Found]:
    """Yield what all segments hold, each from where the walk before has arrived.

    Raises:
        TarDamaged: the tar is damaged there.
    """
    arrived = 0
    for segment in segments:
        if arrived >= segment.end and segment.end < size:
            continue  # all of it is the content of one member
        places = {found.start: number for number, found in enumerate(segment.members)}
        members = _members(fetch, size, arrived)
        met = yield from _until_met(members, arrived, places, segment.end)
        if met in places:
            met = yield from _through(fetch, size, segment, places[met])
        if met is None:
            return
        arrived = met


def _through(
    fetch: Fetch, size: int, segment: _Segment, first: int
) -> Generator[Found, None, int | None]:
    """Yield the members of a segment from the one with this number among those that were found.

    Returns:
        Where the next one begins, behind the segment; None if the tar ends before.

    Raises:
        TarDamaged: the tar is damaged there.
    """
    yield from segment.members[first:]
    if segment.damage is not None:
        raise segment.damage
    behind = segment.behind
    if behind is None or behind >= segment.end:
        return behind
    return (yield from _until_met(_members(fetch, size, behind), behind, (), segment.end))


def _until_met(
    members: Iterator[Found], arrived: int, places: Container[int], end: int
) -> Generator[Found, None, int | None]:
    """Yield members up to the first that the walk through a segment has found, or behind it.

    Args:
        members: from the one on whose first header begins where the walk before has arrived.
        arrived: there.
        places: where the members begin that the walk through the segment has found.
        end: of the segment.

    Returns:
        Where that member begins; None if the tar ends before.
    """
    if arrived in places:
        return arrived
    for found in members:
        if found.start in places or found.start >= end:
            return found.start
        yield found
    return None


def _walked(fetch: Fetch, size: int, start: int, end: int) -> _Segment:
    """Return the members of a segment from the first that looks like one; none if none does."""
    first = _first_header(fetch, start, end) if start else 0
    found = list[Found]()
    if first is None:
        return _Segment(end, found)
    try:
        for member in _members(fetch, size, first):
            if member.start >= end or len(found) == MOST_HELD:
                return _Segment(end, found, member.start)
            found.append(member)
    except TarDamaged as damage:
        return _Segment(end, found, damage=damage)
    return _Segment(end, found)


def _members(fetch: Fetch, size: int, start: int) -> Iterator[Found]:
    """Yield the members from the one on whose first header begins at ``start``.

    Raises:
        TarDamaged: the tar is damaged there.
    """
    window = Window(fetch, start, size)
    blocks = TarBlocks(window, members=int(start > 0), offset=start, skip=window.skip)
    for entry in blocks:
        yield Found(entry, blocks.start, blocks.content)


def _first_header(fetch: Fetch, start: int, end: int) -> int | None:
    """Return where the first block begins that looks like a header; None if none does."""
    start = -(-start // BLOCK) * BLOCK
    for first in range(start, min(end, start + _FARTHEST), NEAR):
        data = fetch(first, min(first + NEAR, end))
        place = data.find(_MAGIC, _MAGIC_AT)
        while place >= 0:
            at = place - _MAGIC_AT
            if at % BLOCK == 0 and _is_header(data[at : at + BLOCK]):
                return first + at
            place = data.find(_MAGIC, place + 1)
    return None


def _is_header(block: bytes) -> bool:
    with suppress(TarDamaged):
        return len(block) == BLOCK and parsed(block).size >= 0
    return False
