"""The files of a corpus: image files of a folder, or foreign WebDataset tars.

The configuration's corpus goes in; its files come out in the order of their keys, each with the
reason for which it is refused by its name, if there is one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tasks.config.corpora import Corpus
from tasks.config.places import Place
from tasks.config.tar_patterns import expanded, matching, require_no_archive
from tasks.io.errors import CorpusError, StoreRefused
from tasks.io.images import EXTENSIONS, UNREAD_EXTENSIONS
from tasks.io.shards.keys import ODD_NAME, key_complaint, printable, stripped
from tasks.io.shards.sides import SideKind
from tasks.io.store import Entry, Store, is_s3, stem
from tasks.io.store.listing import Cut, Found, Without
from tasks.io.workspace import MARK, is_forgotten
from tasks.jobs.progress import say

_FEW = 8
"""Up to so many tars of a bucket are asked for one by one; for more, their folder is listed."""


class SourceSide(NamedTuple):
    """A file beside an image that goes with it; fingerprints hold these names too."""

    kind: SideKind
    path: str
    """Path below the corpus's folder."""
    size: int
    """Size of the file in bytes."""
    version: str
    """What the store says of the file that differs once it is changed."""


class SourceFile(NamedTuple):
    """A file of a corpus, as it was listed; fingerprints hold the names of class and fields."""

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
        fields = self._asdict()
        if not self.sides:
            del fields["sides"]
        return f"SourceFile({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def source_of(corpus: Corpus) -> Store:
    """Return the folder or bucket that the paths of a corpus's files start from.

    It is the folder before what is a pattern in the corpus's path.
    """
    return Store(corpus.folder, corpus.access)


def require_sources(corpora: Mapping[str, Corpus]) -> None:
    """Check that every corpus is there, before work begins on any.

    Raises:
        CorpusError: one is not; the message has its path.
    """
    for corpus in corpora.values():
        if not corpus.is_tars and not source_of(corpus).is_folder():
            require_no_archive(corpus.path)
            raise CorpusError(
                "a corpus must be a folder, or a prefix of a bucket with objects below it, got "
                f"{corpus.path!r}, which is none; correct its path"
            )


def list_files(
    corpus: Corpus,
    forgotten: Mapping[str, Sequence[str]],
    apart: Mapping[Place, str] | None = None,
) -> Iterator[SourceFile]:
    """Yield the image files of a folder without forgotten ones, or the tars.

    Args:
        corpus: where they lie.
        forgotten: digests of keys that must not come back. In tars they are found as these
            are read.
        apart: folders of which nothing is taken, as ``apart_from`` gives them.

    Raises:
        CorpusError: there is no such folder, or a tar is missing.
    """
    without = partial(_is_apart, corpus, apart or {})
    if corpus.is_tars:
        yield from list_tars(corpus, without)
        return
    key_of = None if corpus.strip is None else partial(stripped, end=corpus.strip)
    files = list_images(source_of(corpus), without, key_of, corpus.side_kinds)
    is_wanted = matching(corpus.pattern or "**")
    for file in files:
        name = stem(file.path) if corpus.strip is None else file.key
        if is_wanted(file.path) and not is_forgotten(name, forgotten):
            yield file


def _is_apart(
    corpus: Corpus, apart: Mapping[Place, str], path: str, inside: Sequence[Found]
) -> bool:
    """Whether a folder of a corpus holds what must not be its input; if so, it is said.

    Such are the places that are apart, and any folder that bears a workspace's mark.

    Args:
        corpus: which is listed.
        apart: places of which nothing is taken, and what they are.
        path: of the folder, below the corpus's.
        inside: what lies right in the folder.
    """
    folder = f"{corpus.folder.rstrip('/')}/{path}"
    here = Place.of(folder, corpus.access)
    what = next((what for place, what in apart.items() if place.holds(here)), None)
    if what is None and any(found.name == MARK for found in inside):
        what = "another workspace"
    if what is not None:
        say(f"left out of the corpus {corpus.path}: {folder}, which is {what}")
    return what is not None


def list_images(
    store: Store,
    without: Without | None = None,
    key_of: Cut | None = None,
    kinds: Sequence[SideKind] = (),
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

    Raises:
        CorpusError: there is no such folder.
    """
    if not store.is_folder():
        require_no_archive(store.url)
        raise CorpusError(f"corpus must be a folder, got {store.url!r}, which is none")
    unread = Counter[str]()
    stripped_too = "" if key_of is None else ", or in what is stripped"
    taken = f"key taken: another file differs only in extension{stripped_too}; rename one"
    for key, group in groupby(store.list("", without, key_of), attrgetter("key")):
        entries = [(entry.path.rpartition(".")[2].lower(), entry) for entry in group]
        unread.update(ending for ending, _ in entries if ending in UNREAD_EXTENSIONS)
        images = [entry for ending, entry in entries if ending in EXTENSIONS]
        complaint = key_complaint(key) if images else None
        for number, (path, size, version, _) in enumerate(images):
            refusal = complaint or (taken if number else "")
            show = printable if refusal.startswith(ODD_NAME) else str
            sides = () if refusal else _sides_in(entries, kinds)
            yield SourceFile(show(key), show(path), size, version, refusal, sides)
    if unread:
        _say_unread(store, unread)


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


def list_tars(corpus: Corpus, without: Without | None = None) -> Iterator[SourceFile]:
    """Yield the tars that a pattern names; a folder is listed once.

    Those that braces name come in their order, and must be there; those that ``*`` and ``?``
    stand for come in the order of their keys.

    Args:
        corpus: whose path is the pattern.
        without: whether a folder is left out where the pattern has stars; None takes all.

    Raises:
        CorpusError: one of them is not there, or the braces hold no range.
    """
    store, pattern = source_of(corpus), corpus.pattern or ""
    if corpus.has_stars:
        wanted = list(map(matching, expanded(pattern)))
        for entry in store.list("", without):
            if any(is_wanted(entry.path) for is_wanted in wanted):
                yield SourceFile(stem(entry.path), entry.path, entry.size, entry.version)
        return
    for below, group in groupby(expanded(pattern), key=lambda path: path.rpartition("/")[0]):
        yield from _tars_in(below, list(group), store, corpus)


def _tars_in(
    folder: str, paths: Sequence[str], store: Store, corpus: Corpus
) -> Iterator[SourceFile]:
    """Yield the tars with these paths, all in one folder.

    Raises:
        CorpusError: one of them is not there.
    """
    listed: dict[str, Entry] = {}
    if len(paths) > _FEW and is_s3(store.url):
        with suppress(StoreRefused):  # some buckets may be read, and not be listed
            listed = store.files(folder)
    for path in paths:
        try:
            entry = listed.get(path) or store.entry(path)
        except FileNotFoundError as error:
            raise CorpusError(
                f"every tar of {corpus.path!r} must be there, but {store.address(path)} is not; "
                "correct the path, or what its braces hold"
            ) from error
        yield SourceFile(stem(path), path, entry.size, entry.version)
