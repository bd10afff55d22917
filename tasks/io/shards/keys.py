"""Keys: which names from outside may be one, and how to show a name that may not.

Keys become names in tars that others unpack, so no key may lead outside of the folder where
it is unpacked, or hold what a terminal, a table or a line of text would obey.
"""

import hashlib
import re
from fnmatch import translate
from functools import cache
from typing import Any

LONGEST_NAME = 4096
"""Bytes of UTF-8 that a name may have: the longest path that Linux takes."""

TOO_LONG = f"name too long: more than {LONGEST_NAME} bytes"

# With what turns the direction of letters, as a terminal obeys it and shows another name.
# The marks U+200E, U+200F and U+061C are no such: Hebrew and Arabic are written with them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")  # Python's marks for bytes that are no UTF-8
_NOT_SHOWN = re.compile(f"{_CONTROLS.pattern}|{_SURROGATES.pattern}")
_ABSOLUTE = re.compile(r"/|\\|[A-Za-z]:")  # `C:name` leaves the folder on Windows too


def key_complaint(key: str) -> str | None:
    """Return why a name cannot be a key, or None if it can.

    Letters of any script and any marks are accepted, up to 4,096 bytes. Backslashes count as
    letters, as on the systems that write them, except where they would lead outside on a
    system that takes them for slashes.
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


def key_mark(key: str) -> bytes:
    """Return 16 bytes that tell a key from all others, and not what it is."""
    return hashlib.blake2b(_utf_8(key), digest_size=16).digest()


def is_too_long(name: str) -> bool:
    """Whether a name has more bytes than it may; a very long one is not encoded to find out."""
    return len(name) > LONGEST_NAME or len(_utf_8(name)) > LONGEST_NAME


def printable(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name with all that cannot be shown written as escapes.

    A name that would take more than ``longest`` letters (at least 14) is cut, and ends with a
    digest that tells it from others.
    """
    shown = _NOT_SHOWN.sub(lambda found: _escaped(found[0]), name[: longest + 1])
    if len(shown) <= longest:
        return shown
    digest = hashlib.sha256(_utf_8(name)).hexdigest()[:12]
    return f"{shown[: longest - 13]}…{digest}"


def stripped(key: str, end: str) -> str:
    """Return a key without the end of its name; as it is where the name does not end so.

    Args:
        key: path without the extension.
        end: text, or a pattern in which ``*``, ``?`` and ``[…]`` stand for others as in a shell;
            of several ends that fit, the shortest is taken. Something of the name must be left.
    """
    folder, slash, name = key.rpartition("/")
    if not _is_pattern(end):
        is_there = name.endswith(end) and len(name) > len(end)
        return key.removesuffix(end) if is_there else key
    fits = _compiled(end)
    cut = next((i for i in range(len(name) - 1, 0, -1) if fits.match(name, i)), len(name))
    return f"{folder}{slash}{name[:cut]}"


def replaced(key: str, old: str, new: str) -> str:
    """Return a key in which each place that reads ``old`` reads ``new``.

    A key counts as if it began with a slash, so that ``/blur/`` finds the folder ``blur`` at its
    start too. Places may share a slash, as both do in ``blur/blur/1``.
    """
    # Each folder gets slashes of its own while places are looked for.
    inner_old, inner_new = (f"{t[:1]}{t[1:-1].replace('/', '//')}{t[1:][-1:]}" for t in (old, new))
    found = f"/{key}".replace("/", "//").replace(inner_old, inner_new)
    return re.sub("/+", "/", found).removeprefix("/")


def _escaped(letter: str) -> str:
    """Return the escape of one letter: the byte where it stands for one, else its number."""
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # Python's mark for such a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _utf_8(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


ODD_NAME = "name "
"""How every reason begins for which a name is refused. Rows with such names are in no order:
images are sorted by their names before these are escaped."""


def is_odd(row: dict[str, Any]) -> bool:
    """Whether a row of an index, which has a ``reason``, is of a file refused for its name."""
    return str(row["reason"] or "").startswith(ODD_NAME)


def _is_pattern(end: str) -> bool:
    return any(letter in end for letter in "*?[")


@cache
def _compiled(end: str) -> re.Pattern[str]:
    return re.compile(translate(end))
