"""Sides: what stands beside an image under its key, and goes with it, byte for byte.

These are a caption (``key.txt``), a class (``key.cls``) and what else is known of it
(``key.json``). An image has at most one of each kind. One that is left out has its reason: it
is too large, there are several of its kind, or it is JSON that not every reader takes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NoReturn, get_args

SideKind = Literal["cls", "json", "txt"]
"""Kinds of sides, by the ending of their files or members, without the dot."""

SIDE_KINDS: tuple[SideKind, ...] = get_args(SideKind)
"""All kinds, in the order in which they stand after their image in a shard."""

LARGEST_SIDE = 1 << 20
"""Bytes that a side may have."""

NONE: Mapping[SideKind, Any] = MappingProxyType({})
"""No sides, and no reasons."""

_INTEGERS = range(-(1 << 63), 1 << 64)
"""Integers of JSON that readers with 64 bits, signed or not, can hold."""


@dataclass
class Sides:
    """The sides of one image that were found so far, and why others are left out."""

    kept: dict[SideKind, bytes] = field(default_factory=dict)
    left_out: dict[SideKind, str] = field(default_factory=dict)
    """Reasons, by kind."""

    def add(self, kind: SideKind, data: bytes | None, size: int) -> None:
        """Add a side, or the reason why it is left out.

        Args:
            kind: of it.
            data: its bytes; None where they are too many to be read.
            size: how many they are.
        """
        if kind in self.kept or kind in self.left_out:
            self.leave_out(kind, several(kind))
        elif data is None:
            reason = f"side left out: {_named(kind)} of {size} bytes, limit {LARGEST_SIDE}"
            self.leave_out(kind, reason)
        elif kind == "json" and not _is_json(data):
            self.leave_out(kind, "side left out: no valid JSON")
        else:
            self.kept[kind] = data

    def leave_out(self, kind: SideKind, reason: str) -> None:
        """Have no side of a kind, for this reason."""
        self.kept.pop(kind, None)
        self.left_out[kind] = reason


def several(kind: SideKind) -> str:
    """Return why an image has no side of a kind of which there is more than one for it."""
    return f"side left out: the sample has several {_named(kind)} members"


def _named(kind: SideKind) -> str:
    return "JSON" if kind == "json" else f".{kind}"


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
