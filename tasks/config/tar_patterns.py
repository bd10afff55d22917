"""Patterns of paths: what braces, stars and question marks stand for, as in shells."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from tasks.io.errors import CorpusError

MOST_TARS = 1_000_000
"""Paths that a range may stand for, less one."""

_NUMBERS = re.compile(r"(\d+)\.\.(\d+)(?:\.\.(\d+))?")
_LETTERS = re.compile(r"([a-z])\.\.([a-z])|([A-Z])\.\.([A-Z])")
_BRACE = re.compile(r"[{}]")
_DEPTHS = {"{": 1, "}": -1}

_COMPRESSED = ("gz", "bz2", "xz", "zst", "lz4", "lzma")
_ARCHIVES = (
    *(f".tar.{ending}" for ending in _COMPRESSED),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".7z", ".rar"),
)
"""Endings of archives that are not read as they are."""


def matching(pattern: str) -> Callable[[str], bool]:
    """Return whether a path is like a pattern, as in shells.

    ``*`` and ``?`` stand for letters of one name, and ``**`` for any number of folders, or for
    all that is below one. Brackets stand for themselves, as folders' names may have them.
    """
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    whole = re.compile("".join(meant.get(part) or re.escape(part) for part in parts), re.DOTALL)
    return lambda path: whole.fullmatch(path) is not None


def expanded(pattern: str) -> Iterator[str]:
    """Yield the paths that a pattern stands for, in its order, each once.

    Braces hold a range of numbers, as ``{000000..000123}``, perhaps with a step, as
    ``{0..10..2}``; a range of letters, as ``{a..f}``; or a list, as ``{train,test}``, whose
    parts may have braces themselves. Numbers have as many digits as the longer end of the
    range where one of the ends begins with a zero.

    Raises:
        CorpusError: a range runs backwards or is enormous, or braces hold something else.
    """
    if "," not in pattern:  # ranges alone name nothing twice
        return _expanded(pattern)
    return _unique(_expanded(pattern))


def _unique(paths: Iterable[str]) -> Iterator[str]:
    """Yield paths in their order, each where it comes first."""
    seen = set[str]()
    for path in paths:
        if path not in seen:
            seen.add(path)
            yield path


def _expanded(pattern: str) -> Iterator[str]:
    """Yield the paths that a pattern stands for, as often as it does."""
    start = pattern.find("{")
    if start < 0:
        if "}" in pattern:
            raise CorpusError(_misplaced(pattern))
        yield pattern
        return
    end = _closing(pattern, start)
    if "}" in pattern[:start]:
        raise CorpusError(_misplaced(pattern))
    for inside in _alternatives(pattern[start + 1 : end], pattern):
        for rest in _expanded(pattern[end + 1 :]):
            yield f"{pattern[:start]}{inside}{rest}"


def _closing(pattern: str, start: int) -> int:
    """Return where the brace closes that opens at ``start``.

    Raises:
        CorpusError: it does not.
    """
    braces = list(_BRACE.finditer(pattern, start))
    depths = accumulate(_DEPTHS[brace[0]] for brace in braces)
    for brace, depth in zip(braces, depths, strict=True):
        if depth == 0:
            return brace.start()
    raise CorpusError(_misplaced(pattern))


def _alternatives(inside: str, pattern: str) -> Iterator[str]:
    """Yield what may stand in the place of one pair of braces.

    Raises:
        CorpusError: they hold neither a range nor a list.
    """
    parts = _parts(inside)
    if len(parts) > 1:
        if len(set(parts)) < len(parts):
            raise CorpusError(f"a list of tars must name each once, got {{{inside}}}")
        for part in parts:
            yield from _expanded(part)
    elif found := _NUMBERS.fullmatch(inside):
        yield from _numbers(found)
    elif found := _LETTERS.fullmatch(inside):
        first, last = (group for group in found.groups() if group)
        if first > last:
            raise CorpusError(f"a range of tars must go up, got {{{inside}}}")
        yield from map(chr, range(ord(first), ord(last) + 1))
    else:
        raise CorpusError(_misplaced(pattern))


def _parts(inside: str) -> Sequence[str]:
    """Return what commas part, but those within further braces."""
    parts, depth = [""], 0
    for letter in inside:
        depth += _DEPTHS.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _numbers(found: re.Match[str]) -> Iterator[str]:
    """Yield the numbers of a range, with its zeros.

    Raises:
        CorpusError: it runs backwards, stands still, or is enormous.
    """
    first, last, step = found.groups()
    numbers = range(int(first), int(last) + 1, int(step or 1) or MOST_TARS + 1)
    if int(step or 1) == 0 or not 0 < len(numbers) <= MOST_TARS:
        raise CorpusError(
            f"a range of tars must go up, by less than {MOST_TARS} tars, got {{{found[0]}}}"
        )
    has_zeros = any(len(end) > 1 and end[0] == "0" for end in (first, last))
    width = max(len(first), len(last)) if has_zeros else 1
    yield from (f"{number:0{width}d}" for number in numbers)


def _misplaced(pattern: str) -> str:
    return (
        "braces in a tar's path must hold a range like {000000..000123} or {0..10..2}, or a list "
        f"like {{train,test}}, got {pattern!r}"
    )


def require_no_archive(path: str) -> None:
    """Check that a path that is no folder is no archive either that is not read as it is.

    Raises:
        CorpusError: it is named like one.
    """
    if path.lower().endswith(_ARCHIVES):
        raise CorpusError(
            f"tars of a corpus must not be compressed, and must end with .tar, got {path!r}; "
            "decompress them (gunzip, unxz, zstd -d), or unpack them into a folder"
        )
