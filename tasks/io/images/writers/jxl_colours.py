"""The colours that the codestream of a JPEG XL file names: a profile, or sRGB.

The library at hand takes no profile, and says of samples of more than 8 bits that they are linear.
What is said stands in the header, before the frames, which are the same whatever it is. ISO/IEC
18181-1, annexes B (the header), E (the profile) and C (entropy coding). All numbers are read
and written from their lowest bit on.
"""

from typing import NamedTuple

SIGNATURE = b"\xff\x0a"

_HEADER_BYTES = 4096
"""Bytes at the start of a codestream that hold all of a header without names of channels."""

_SIDES = ((9, 1), (13, 1), (18, 1), (30, 1))
_BITS = (8, 10, 12, (6, 1))
_FLOAT_BITS = (32, 16, 24, (6, 1))
_CHANNELS = (0, 1, (4, 2), (12, 1))
_ENUMERATED = (0, 1, (4, 2), (6, 18))
_SHIFTS = (0, 3, 4, (3, 1))
_NAMES = (0, (4, 0), (5, 16), (10, 48))
_CUSTOM, _GREY = 2, 1

_LENGTHS_OF_LENGTHS = 18
_PLACE_OF_EIGHT = 10
"""Place of a code length of eight bits in the order in which they are listed."""


def with_colours(codestream: bytes, icc: bytes, *, is_grey: bool) -> bytes:
    """Return a codestream with a colour profile, or sRGB, in place of the colours that it names.

    Args:
        codestream: begins with ``SIGNATURE``; its samples are coded as they are, not as XYB.
        icc: profile of RGB or of grey; empty for sRGB.
        is_grey: whether there is one channel of colour.

    Raises:
        ValueError: the header has a part that is not known here.
    """
    head = _Bits(int.from_bytes(codestream[:_HEADER_BYTES], "little"))
    span = _span(head)
    written = _Writer()
    written.put(head.value & ((1 << span.colour) - 1), span.colour)
    if icc:
        written.put(0b10, 2)  # colours are not the default ones; there is a profile
        written.put(int(is_grey), 2)  # an enumerated value: 0 for RGB, 1 for grey
    elif is_grey:
        _put_grey_of_srgb(written)
    else:
        written.put(1, 1)
    written.put(head.value >> span.after, span.end - span.after, cut=True)
    if icc:
        _put_profile(written, icc)
    return written.data() + codestream[-(-span.end // 8) :]


class _Span(NamedTuple):
    """Bits of a header: where the colour space begins and ends, and where the header ends."""

    colour: int
    after: int
    end: int


class _Bits:
    """Bits that are read one after the other."""

    def __init__(self, value: int) -> None:
        self.value, self.place = value, len(SIGNATURE) * 8

    def take(self, bits: int) -> int:
        """Return the next bits as a number."""
        found = (self.value >> self.place) & ((1 << bits) - 1)
        self.place += bits
        return found

    def choose(self, choices: tuple[int | tuple[int, int], ...]) -> int:
        """Return a number that is one of four: given, or read from so many bits and added to."""
        choice = choices[self.take(2)]
        return choice if isinstance(choice, int) else self.take(choice[0]) + choice[1]


def _span(head: _Bits) -> _Span:
    """Return where the colour space stands in a header.

    Raises:
        ValueError: the header has a part that is not known here.
    """
    _skip_size(head)
    is_default, has_more = head.take(1), head.take(1)
    _require(not is_default and not has_more, "more than depth, channels and colours")
    _skip_depth(head)
    head.take(1)  # whether 16 bits are enough for what is computed
    for _ in range(head.choose(_CHANNELS)):
        _skip_channel(head)
    _require(not head.take(1), "XYB colours")
    start = head.place
    _skip_colours(head)
    after = head.place
    _require(head.take(2) == 0, "extensions")
    _require(head.take(1) == 1, "weights of its own for enlarging")
    return _Span(start, after, head.place)


def _require(is_known: bool, part: str) -> None:
    if not is_known:
        raise ValueError(f"the header of a JPEG XL file must be a plain one, got {part}")


def _skip_size(head: _Bits) -> None:
    is_small = head.take(1)
    head.take(5) if is_small else head.choose(_SIDES)
    if head.take(3) == 0:  # the width is no simple multiple of the height
        head.take(5) if is_small else head.choose(_SIDES)


def _skip_depth(head: _Bits) -> None:
    if head.take(1):
        head.choose(_FLOAT_BITS)
        head.take(4)
    else:
        head.choose(_BITS)


def _skip_channel(head: _Bits) -> None:
    """Pass over what is said of a channel beside the colours, which must be alpha."""
    if head.take(1):  # alpha of eight bits
        return
    _require(head.choose(_ENUMERATED) == 0, "a channel that is not alpha")
    _skip_depth(head)
    head.choose(_SHIFTS)
    head.take(8 * head.choose(_NAMES))
    head.take(1)


def _skip_colours(head: _Bits) -> None:
    if head.take(1):  # sRGB
        return
    _require(not head.take(1), "a profile already")
    is_grey = head.choose(_ENUMERATED) == _GREY
    _require(head.choose(_ENUMERATED) != _CUSTOM, "a white point in numbers")
    if not is_grey:
        _require(head.choose(_ENUMERATED) != _CUSTOM, "primaries in numbers")
    if head.take(1):
        head.take(24)
    else:
        head.choose(_ENUMERATED)
    head.choose(_ENUMERATED)


class _Writer:
    """Bits that are written one after the other."""

    def __init__(self) -> None:
        self._value, self._size = 0, 0

    def put(self, value: int, bits: int, *, cut: bool = False) -> None:
        """Append a number of so many bits; of a larger one the lowest, if it may be cut."""
        if cut:
            value &= (1 << bits) - 1
        self._value |= value << self._size
        self._size += bits

    def data(self) -> bytes:
        """Return what was written, filled up to whole bytes."""
        return self._value.to_bytes(-(-self._size // 8), "little")


def _put_grey_of_srgb(written: _Writer) -> None:
    """Append enumerated values: grey, under D65, with sRGB's curve, shown as it is."""
    written.put(0b00, 2)  # colours are not the default ones; there is no profile
    written.put(1, 2)
    written.put(1, 2)
    written.put(0, 1)  # the curve is no power
    written.put(2, 2)
    written.put(13 - 2, 4)
    written.put(1, 2)


def _put_profile(written: _Writer, icc: bytes) -> None:
    """Append a profile: its size, a code in which each byte has eight bits, and its bytes."""
    stream = _commanded(icc)
    _put_long(written, len(stream))
    written.put(0, 1)  # no repetitions
    written.put(0b001, 3)  # one distribution for all contexts
    written.put(1, 1)  # prefix codes
    written.put(15, 4)  # whose symbols are the numbers themselves
    written.put(1, 1)  # 256 symbols: 1 + 2⁷ + 127
    written.put(7, 4)
    written.put(127, 7)
    written.put(0, 2)  # all lengths are listed
    for place in range(_LENGTHS_OF_LENGTHS):  # only eight occurs, so that it takes no bits
        written.put(int(place == _PLACE_OF_EIGHT), 2)
    codes = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    written.put(int.from_bytes(stream.translate(codes), "little"), 8 * len(stream))


def _put_long(written: _Writer, value: int) -> None:
    """Append a number below 2⁶⁰: twelve bits of it, and then eight at a time."""
    written.put(3, 2)
    written.put(value & 0xFFF, 12)
    value >>= 12
    while value:
        written.put(1 | (value & 0xFF) << 1, 9)
        value >>= 8
    written.put(0, 1)


def _commanded(icc: bytes) -> bytes:
    """Return a profile as a list of commands and their data, as the header of a file has it.

    The first 128 bytes are told by how they differ from what is expected there; one command
    takes over the others as they are.
    """
    head = bytes((byte - guess) & 0xFF for byte, guess in zip(icc, _expected(icc), strict=False))
    rest = icc[len(head) :]
    commands = b"\0\1" + _varying(len(rest)) if rest else b""
    return _varying(len(icc)) + _varying(len(commands)) + commands + head + rest


def _expected(icc: bytes) -> bytearray:
    """Return the first 128 bytes of a profile as they are guessed, from its size and themselves."""
    guess = bytearray(128)
    guess[:4] = len(icc).to_bytes(4, "big")
    guess[8] = 4
    guess[12:24] = b"mntrRGB XYZ "
    guess[36:40] = b"acsp"
    guess[68:80] = b"\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d"
    guess[80:84] = icc[4:8]
    platform = {b"A": b"PPL", b"M": b"SFT"}.get(icc[40:41], bytes(3))
    if icc[40:41] == b"S":
        platform = {b"G": b"\0I ", b"U": b"\0NW"}.get(icc[41:42], bytes(3))
    guess[41:44] = platform
    return guess


def _varying(value: int) -> bytes:
    """Return a number as bytes of seven bits, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
