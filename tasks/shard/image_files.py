"""The image files of a folder, in the order of their keys, with what stands beside each.

Each comes with the reason for which it is refused by its name, if there is one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from tasks.config.tar_patterns import require_no_archive
from tasks.io.catalogue import in_order
from tasks.io.errors import CorpusError
from tasks.io.images import EXTENSIONS, UNREAD_EXTENSIONS
from tasks.io.ledger import with_fields
from tasks.io.shards.keys import ODD_NAME, key_complaint, printable
from tasks.io.shards.sides import SideKind
from tasks.io.store import Entry, Store
from tasks.io.store.listing import Cut, Without
from tasks.jobs.progress import say


class SourceSide(NamedTuple):
    """A file beside an image that goes with it."""

    kind: SideKind
    path: str
    """Path below the corpus's folder."""
    size: int
    """Size of the file in bytes."""
    version: str
    """What the store says of the file that differs once it is changed."""

    def __repr__(self) -> str:
        """Return what stands in fingerprints: these fields, whatever others there may be."""
        return with_fields("SourceSide", self, ("kind", "path", "size", "version"))


class SourceFile(NamedTuple):
    """A file of a corpus, as it was listed."""

    key: str
    """Path below the corpus's folder, without the extension, in composed letters."""
    path: str
    """Path below the corpus's folder."""
    size: int
    """Size of the file in bytes."""
    version: str
    """What the store says of the file that differs once it is changed."""
    refusal: str = ""
    """Why it is refused without being opened; empty for a file that is opened."""
    sides: tuple[SourceSide, ...] = ()
    """Files beside it that go with it."""

    def __repr__(self) -> str:
        """Return what stands in fingerprints: without sides, what it was before there were any."""
        sides = ("sides",) if self.sides else ()
        return with_fields(
            "SourceFile", self, ("key", "path", "size", "version", "refusal", *sides)
        )


def list_images(
    store: Store,
    without: Without | None = None,
    key_of: Cut | None = None,
    kinds: Sequence[SideKind] = (),
    match: Callable[[str], str] | None = None,
) -> Iterator[SourceFile]:
    """Yield the image files of a folder in the order of their keys.

    Files that share a key (they differ only in extension) are refused from the second
    on, and so are names that no table can hold or no tar should have. How many pictures of
    formats that are not read were left out is said at the end. Files beside an image go with
    the first that has their key.

    Args:
        store: the folder.
        without: whether a folder below it is left out; None takes all.
        key_of: makes the last part of a key of a file's name; None takes the name.
        kinds: of files beside an image that go with it.
        match: makes another key of a whole one; None leaves keys as they are.

    Raises:
        CorpusError: there is no such folder.
    """
    if not store.is_folder():
        require_no_archive(store.url)
        raise CorpusError(f"corpus must be a folder, got {store.url!r}, which is none")
    unread = Counter[str]()
    taken = _taken(is_cut=key_of is not None, is_matched=match is not None)
    listed = store.list("", without, key_of)
    matched = listed if match is None else _matched(listed, match)
    for key, group in groupby(matched, attrgetter("key")):
        entries = [(entry.path.rpartition(".")[2].lower(), entry) for entry in group]
        unread.update(ending for ending, _ in entries if ending in UNREAD_EXTENSIONS)
        yield from _images_of(key, entries, kinds, taken)
    if unread:
        _say_unread(store, unread)


def _images_of(
    key: str, entries: Sequence[tuple[str, Entry]], kinds: Sequence[SideKind], taken: str
) -> Iterator[SourceFile]:
    """Yield the image files of one key, all but the first of which are refused as ``taken``."""
    images = [entry for ending, entry in entries if ending in EXTENSIONS]
    complaint = key_complaint(key) if images else None
    for number, (path, size, version, _) in enumerate(images):
        refusal = complaint or (taken if number else "")
        show = printable if refusal.startswith(ODD_NAME) else str
        sides = () if refusal else _sides_in(entries, kinds)
        yield SourceFile(show(key), show(path), size, version, refusal, sides)


def _taken(*, is_cut: bool, is_matched: bool) -> str:
    """Return why the second image file of a key is refused."""
    ways = ["stripped"] * is_cut + ["replaced"] * is_matched
    renamed_too = f", or in what is {' or '.join(ways)}" if ways else ""
    return f"key taken: another file differs only in extension{renamed_too}; rename one"


def _matched(entries: Iterator[Entry], match: Callable[[str], str]) -> Iterator[Entry]:
    """Yield entries with other keys, in the order of these; those with odd names come first."""
    odd = list[Entry]()

    def rows() -> Iterator[tuple[str, ...]]:
        for entry in entries:
            key = match(entry.key)
            if key_complaint(key) is None:
                yield key, entry.path, str(entry.size), entry.version
            else:
                odd.append(entry._replace(key=key))

    kept = in_order(rows())
    first = next(kept, None)  # by now all are listed
    yield from sorted(odd, key=attrgetter("key", "path"))
    for key, path, size, version in () if first is None else chain([first], kept):
        yield Entry(path, int(size), version, key)


def _sides_in(
    entries: Sequence[tuple[str, Entry]], kinds: Sequence[SideKind]
) -> tuple[SourceSide, ...]:
    return tuple(
        SourceSide(kind, entry.path, entry.size, entry.version)
        for kind in kinds
        for ending, entry in entries
        if ending == kind
    )


def _say_unread(store: Store, unread: Mapping[str, int]) -> None:
    """Say how many pictures were left out, by the extensions of formats that are not read."""
    endings = ", ".join(f"{count} .{extension}" for extension, count in sorted(unread.items()))
    say(
        f"left out of the corpus {store.url}: pictures of formats that are not read "
        f"({endings}); convert them to PNG"
    )
