"""The terminal: text in whatever encoding it has, and tables in whatever width.

Names of files and symbols such as ``→`` may be beyond a terminal's encoding. They are spelled
with what it has, so that no command fails at a character.
"""

import codecs
import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

import typer

from flows.steps.screen import Silence, screen

if TYPE_CHECKING:
    from rich.console import Console

_SPELLED = {
    "→": "->",
    "↓": "v",
    "↑": "^",
    "×": "x",
    "±": "+-",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "∞": "inf",
    "α": "alpha",
    "²": "2",
    "•": "*",
}
"""Symbols, each as it is written where the encoding lacks it."""

_PIPE_WIDTH = 10_000
"""Columns where no terminal sets a width: enough for every table, so that none is cut."""


def use_any_encoding() -> None:
    """Have this process accept text that its terminal or its locale cannot encode.

    Standard output and error spell what they lack. Where the locale is one of ASCII, in which no
    other name of a file can be spelled, this process is replaced by one in Python's UTF-8 mode.
    """
    if sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this command
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_spelling())


def spelled(text: str, encoding: str) -> str:
    """The text, with what an encoding lacks spelled in characters that it has."""
    return text.encode(encoding, _spelling()).decode(encoding)


def say(text: str, *, fg: str | None = None) -> None:
    """Print a line on standard output, on a terminal in the colour that is given."""
    typer.secho(text, fg=fg, file=sys.stdout)  # given: typer's default would write UTF-8 to ASCII


def complain(text: str) -> None:
    """Print a line on standard error, on a terminal in red."""
    typer.secho(text, fg="red", file=sys.stderr)


def console(*, stderr: bool = False) -> "Console":
    """A console on standard output, or on standard error.

    It is as wide as the terminal or as COLUMNS says; a pipe has room for every line.
    """
    from rich.console import Console

    found = Console(stderr=stderr, markup=False, emoji=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = _PIPE_WIDTH
    return found


def working(at: str) -> AbstractContextManager[object]:
    """A sign of life on standard error while a block runs.

    There is none where standard error is no terminal, and none beside the bars of steps.

    Args:
        at: what the command is at, in words.
    """
    return nullcontext() if is_watched() else console(stderr=True).status(at)


def is_watched() -> bool:
    """Whether steps are shown at the moment."""
    return not isinstance(screen.get(), Silence)


def show_table(titles: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table on standard output whose cells are whole, however narrow the terminal is.

    A table that is too wide is cut into several, each with the first column. Only that one, which
    has names, may be broken into lines.
    """
    from rich.table import Column, Table

    terminal = console()
    titles, *lines = (
        [spelled(cell, terminal.encoding) for cell in row] for row in (titles, *lines)
    )
    columns = [*zip(titles, *lines, strict=True)]
    widths, parts = _layout(columns, terminal.width)
    for number, part in enumerate(parts, start=1):
        heads = (Column(titles[i], width=widths[i], overflow="fold") for i in part)
        table = Table(*heads, title=f"{title} ({number} of {len(parts)})" if parts[1:] else title)
        for line in lines:
            table.add_row(*(line[i] for i in part))
        terminal.width = max(terminal.width, 1 + sum(widths[i] + _AROUND for i in part))
        terminal.print(table)


def _layout(columns: Sequence[Sequence[str]], room: int) -> tuple[list[int], list[list[int]]]:
    """The width of each column, and which columns stand in each table.

    Args:
        columns: the title of each, and its cells.
        room: the width of the terminal.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in columns]
    if 1 + sum(width + _AROUND for width in widths) <= room:
        return widths, [[*range(len(columns))]]
    for i, (title, *cells) in enumerate(columns):
        widths[i] = max(map(cell_len, (*title.split(), *cells)))  # titles are broken at spaces
    widths[0] = min(widths[0], max(_NARROWEST, room // 3))
    parts, first = list[list[int]](), 1 + widths[0] + _AROUND
    left = 0
    for i in range(1, len(columns)):
        if widths[i] + _AROUND > left:
            parts.append([0])
            left = room - first
        parts[-1].append(i)
        left -= widths[i] + _AROUND
    return widths, parts


_AROUND = 3
"""Columns that a table takes around each cell: two spaces, and a line."""

_NARROWEST = 8
"""The width that a first column has however narrow the terminal is."""


@cache
def _spelling() -> str:
    """The name of the error handler that spells what an encoding lacks, for codecs."""
    codecs.register_error("dotpipe.spelled", _spell)
    return "dotpipe.spelled"


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_letter, error.object[error.start : error.end])), error.end


def _letter(letter: str) -> str:
    r"""A letter in ASCII; a byte of a file's name that is not UTF-8 comes as ``\xe9``."""
    code = ord(letter)
    if _FIRST_SPINNER <= code <= _LAST_SPINNER:
        return "*"
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return _SPELLED.get(letter) or letter.encode("ascii", "backslashreplace").decode("ascii")


_FIRST_SPINNER, _LAST_SPINNER = 0x2800, 0x28FF
"""The letters that rich draws a spinner with."""

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""How Python has the bytes of a name that it cannot decode (PEP 383)."""
