"""Names from outside: what may be a key, and how to show what may not.

Keys become names in tars that others unpack, so a key says nothing about folders
outside, and nothing that a terminal, a table or a line of text would obey.
"""

import hashlib
import re
from typing import Any

SIDE_EXTENSION = "json"
"""Of the member that tells what is known of an image."""

LONGEST_NAME = 4096
"""Bytes of UTF-8; what Linux takes for a path."""

TOO_LONG = f"name too long: more than {LONGEST_NAME} bytes"

# With what turns the direction of letters, as a terminal obeys it and shows another name.
# The marks U+200E, U+200F and U+061C are no such: Hebrew and Arabic are written with them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")  # Python's marks for bytes that are no UTF-8
_NOT_SHOWN = re.compile(f"{_CONTROLS.pattern}|{_SURROGATES.pattern}")
_ABSOLUTE = re.compile(r"/|\\|[A-Za-z]:")  # `C:name` leaves the folder on Windows too


def key_complaint(key: str) -> str | None:
    """Why a name can be no key, None if it can: any script, any marks, up to 4,096 bytes.

    Backslashes are letters, as on the systems that write them, except where they would
    lead outside on a system that takes them for slashes.
    """
    if is_too_long(key):
        return TOO_LONG
    parts = key.split("/")
    complaints = {
        "name is not UTF-8: rename the file": _SURROGATES.search(key) is not None,
        "name holds control characters: rename the file": _CONTROLS.search(key) is not None,
        "name is absolute: rename the file": _ABSOLUTE.match(key) is not None,
        "name leads outside: a part of it is `..`": ".." in re.split(r"[/\\]", key),
        "name has an empty part: rename the file": "" in parts,
        "name has a part that is `.`: rename the file": "." in parts,
    }
    return next((complaint for complaint, holds in complaints.items() if holds), None)


def is_too_long(name: str) -> bool:
    """Whether a name is of more bytes than any may have; takes no time for an endless one."""
    return len(name) > LONGEST_NAME or len(_utf_8(name)) > LONGEST_NAME


def printable(name: str, longest: int = LONGEST_NAME) -> str:
    """The name with all that cannot be shown written as escapes.

    Of one that takes more than ``longest`` letters (at least 14) the beginning, and a
    digest that tells it from others.
    """
    shown = _NOT_SHOWN.sub(lambda found: _escaped(found[0]), name[: longest + 1])
    if len(shown) <= longest:
        return shown
    digest = hashlib.sha256(_utf_8(name)).hexdigest()[:12]
    return f"{shown[: longest - 13]}…{digest}"


def _escaped(letter: str) -> str:
    """A byte that is no UTF-8 as itself, another letter by its number."""
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # Python's mark for such a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _utf_8(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


ODD_NAME = "name "
"""How reasons begin that refuse a name. Such rows are in no order: names sort before they are
escaped."""


def is_odd(row: dict[str, Any]) -> bool:
    """Whether a row of an index is of a file whose name was refused."""
    return str(row["reason"] or "").startswith(ODD_NAME)
