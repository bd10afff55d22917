"""Whether restored images and their ground truth go by the same keys, known before any work.

Where they do not, the end of the names is found that would make them agree, as ``_swinir`` in
``kodim01_swinir``, or the folder, as ``blur`` in ``a/blur/1``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

MANY = 10_000
"""Keys of a corpus that are looked at, at most, for an end that would make them agree."""


class Ending(NamedTuple):
    """An end of names, and how many keys two corpora share without it."""

    text: str
    of_ours: bool
    """Whether our names have it, and not the others'."""
    shared: int


def ending_between(ours: Iterable[str], theirs: Iterable[str]) -> Ending | None:
    """Return the end of names without which two sets of keys have most in common, if any does.

    Args:
        ours: keys, of which ``MANY`` are looked at.
        theirs: keys that should be the same.

    Returns:
        None if keys are in common already, or none would be.
    """
    mine, others = set(islice(ours, MANY)), set(islice(theirs, MANY))
    if mine & others:
        return None
    ends = [(end, True) for end in _ends(mine, others)] + [
        (end, False) for end in _ends(others, mine)
    ]
    if not ends:
        return None
    (text, of_ours), shared = Counter(ends).most_common(1)[0]
    return Ending(text, of_ours, shared)


def _ends(longer: Iterable[str], shorter: set[str]) -> Iterable[str]:
    """Yield what some keys have behind others."""
    for key in longer:
        start = key.rfind("/") + 2  # something of the name must be left
        yield from (key[cut:] for cut in range(start, len(key)) if key[:cut] in shorter)


class Folder(NamedTuple):
    """A folder that two corpora call differently, and how many keys they share but for that."""

    ours: str
    """With a slash before and behind it."""
    theirs: str
    """With a slash before and behind it."""
    shared: int


def folder_between(ours: Iterable[str], theirs: Iterable[str]) -> Folder | None:
    """Return the folder by whose name alone most keys of two sets differ, if any does.

    Args:
        ours: keys, of which ``MANY`` are looked at.
        theirs: keys that should be the same.

    Returns:
        None if keys are in common already, or none differ so.
    """
    mine, others = set(islice(ours, MANY)), set(islice(theirs, MANY))
    if mine & others:
        return None
    named = {rest: name for key in sorted(others) for rest, name in _without_a_folder(key)}
    ways = (way for key in mine for way in _without_a_folder(key))
    found = Counter((name, named[rest]) for rest, name in ways if rest in named)
    if not found:
        return None
    (name, other), shared = found.most_common(1)[0]
    return Folder(f"/{name}/", f"/{other}/", shared)


def _without_a_folder(key: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is left of a key without each of its folders, and the name of that folder."""
    parts = key.split("/")
    for place, name in enumerate(parts[:-1]):
        yield (*parts[:place], "/", *parts[place + 1 :]), name
