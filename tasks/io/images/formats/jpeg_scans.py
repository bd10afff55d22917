"""The scans of a JPEG as they stand in the file, and whether all that it needs are there.

Of each scan the entropy-coded data are found, in pieces between restart markers; nothing is
decoded. All sections are those of ITU-T T.81.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_PROGRESSIVE, _TABLES, _INTERVAL, _SCAN, _END = 0xC2, 0xC4, 0xDD, 0xDA, 0xD9
_HUFFMAN = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no segment follows."""

_RESTARTS = range(0xD0, 0xD8)
_ABSENT = -1


class Frame(NamedTuple):
    """What a JPEG says of its pixels; sampling across and down by the components' numbers."""

    marker: int
    bits: int
    height: int
    width: int
    sampling: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, marker: int, content: bytes) -> "Frame":
        """Return what a frame header says (B.2.2)."""
        bits, height, width, count = struct.unpack_from(">BHHB", content)
        parts = struct.iter_unpack("BBB", content[6 : 6 + 3 * count])
        sampling = {number: (both >> 4, both & 15) for number, both, _ in parts}
        return cls(marker, bits, height, width, sampling)

    @property
    def has_huffman_codes_of_8_bits(self) -> bool:
        """Whether its process is baseline, extended or progressive, and lossy."""
        return self.marker in _HUFFMAN and self.bits == 8

    def units(self, components: Sequence[int]) -> int:
        """Return the number of coded units of a scan with these components (A.2)."""
        across = max(h for h, _ in self.sampling.values())
        down = max(v for _, v in self.sampling.values())
        if len(components) > 1:
            return ceil(self.width / (8 * across)) * ceil(self.height / (8 * down))
        h, v = self.sampling[components[0]]
        return ceil(self.width * h / across / 8) * ceil(self.height * v / down / 8)


class Scan(NamedTuple):
    """A scan of a JPEG."""

    frame: Frame
    components: Sequence[int]
    band: tuple[int, int]
    """First and last coefficient, in zigzag order."""

    lowest_bit: int
    """Position of the last bit that it brings of these coefficients."""

    may_have_zeros: bool
    """Whether zero bits may be flat blocks: in all components they mean that a block ends, or
    bits that make it finer."""

    interval: int = 0
    """Units of a piece; zero where all are in one."""

    head: bytes = b""
    """What stands before its data, from the end of the last scan, or the file's start, on."""

    pieces: Sequence[bytes] = ()
    """Its entropy-coded data; all but the first piece have their restart marker before them."""

    @property
    def has_all_pieces(self) -> bool:
        """Whether the restart markers are there, in their order."""
        units = self.frame.units(self.components)
        count = ceil(units / self.interval) if self.interval else 1
        return len(self.pieces) == count and all(
            piece[1] == 0xD0 + number % 8 for number, piece in enumerate(self.pieces[1:])
        )


class _Segment(NamedTuple):
    """A marker with its segment; start and end are those of the segment's content."""

    marker: int
    start: int
    end: int
    coded_end: int
    """End of the entropy-coded data behind a scan's segment."""

    restarts: Sequence[int]
    """Where the restart markers within these data stand."""


def frame_of(data: bytes) -> Frame | None:
    """Return the first frame header of a JPEG; None if none stands before a scan.

    Raises:
        struct.error: a segment is too short.
    """
    for marker, start, end, *_ in _segments(data):
        if marker in _FRAMES:
            return Frame.of(marker, data[start:end])
    return None


def scans_of(data: bytes) -> Iterator[Scan]:
    """Yield the scans of a JPEG up to its end, or that of the data.

    Raises:
        struct.error, IndexError: a segment is too short.
        KeyError: a scan is of a component that the frame has not.
    """
    frame, codes, interval, place = None, dict[int, int](), 0, 0
    for marker, start, end, coded_end, restarts in _segments(data):
        if marker in _FRAMES:
            frame = Frame.of(marker, data[start:end])
        elif marker == _TABLES:
            codes |= _codes_of_zeros(data[start:end])
        elif marker == _INTERVAL:
            (interval,) = struct.unpack_from(">H", data, start)
        elif marker == _SCAN and frame is not None:
            edges = [end, *restarts, coded_end]
            yield _scan(frame, codes, data[start:end])._replace(
                interval=interval,
                head=data[place:end],
                pieces=[data[one:other].rstrip(b"\xff") for one, other in pairwise(edges)],
            )
            place = coded_end


def _scan(frame: Frame, codes: dict[int, int], content: bytes) -> Scan:
    """Return a scan with what its header says (B.2.3), and nothing else.

    Args:
        frame: that it belongs to.
        codes: what zero bits mean in each table of Huffman's codes.
        content: of the segment.
    """
    count = content[0]
    components, tables = content[1 : 1 + 2 * count : 2], content[2 : 2 + 2 * count : 2]
    first, last, bits = content[1 + 2 * count : 4 + 2 * count]
    if frame.marker != _PROGRESSIVE:
        first, last, bits = 0, 63, 0
    if last == 0:
        meanings = [codes.get(both >> 4, 0) for both in tables]
    else:
        meanings = [codes.get(0x10 | both & 15, 0) for both in tables]
    return Scan(
        frame=frame,
        components=tuple(components),
        band=(first, last),
        lowest_bit=bits & 15,
        may_have_zeros=(last == 0 and bits > 15) or all(map(_is_flat, meanings)),
    )


def _is_flat(meaning: int) -> bool:
    """Whether a code means that a block, or a run of blocks, has no more coefficients (F.1.2)."""
    return meaning & 15 == 0 and meaning < 0xF0


def _codes_of_zeros(content: bytes) -> dict[int, int]:
    """Return what the code of zero bits means, the first one, in each table (B.2.4.2)."""
    meanings, place = {}, 0
    while place < len(content):
        meanings[content[place]] = content[place + 17]
        place += 17 + sum(content[place + 1 : place + 17])
    return meanings


def have_all_coefficients(scans: Sequence[Scan]) -> bool:
    """Whether scans bring every coefficient of every component to its last bit (G.1.1.1)."""
    if not scans:
        return False
    lowest = {number: [_ABSENT] * 64 for number in scans[-1].frame.sampling}
    for scan in scans:
        first, last = scan.band
        for number in scan.components:
            lowest[number][first : last + 1] = [scan.lowest_bit] * (last + 1 - first)
    return not any(bit for bits in lowest.values() for bit in bits)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments of a JPEG up to its end marker; what is no marker is passed over."""
    place = 2
    while found := _MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _END:
            return
        if marker in _ALONE:
            continue
        start, end = place + 2, place + struct.unpack_from(">H", data, place)[0]
        place, restarts = _coded(data, end) if marker == _SCAN else (end, [])
        yield _Segment(marker, start, end, place, restarts)


def _coded(data: bytes, start: int) -> tuple[int, list[int]]:
    """Return the end of entropy-coded data, and where the restart markers in them stand."""
    restarts: list[int] = []
    for found in _MARKER.finditer(data, start):
        if found[1][0] not in _RESTARTS:
            return found.start(), restarts
        restarts.append(found.start())
    return len(data), restarts
