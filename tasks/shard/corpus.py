"""The files of a corpus: image files of a folder, or foreign WebDataset tars.

The configuration's corpus goes in; its files come out in the order of their keys, each with the
reason for which it is refused by its name, if there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from tasks.config.corpora import Corpus
from tasks.config.places import Place
from tasks.config.tar_patterns import expanded, matching, require_no_archive
from tasks.io.errors import CorpusError, StoreRefused
from tasks.io.store import Entry, Store, is_s3, stem
from tasks.io.store.listing import Found, Without
from tasks.io.workspace import MARK, is_forgotten
from tasks.jobs.progress import say
from tasks.shard.image_files import SourceFile, list_images

_FEW = 8
"""Up to so many tars of a bucket are asked for one by one; for more, their folder is listed."""


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
    without = without_apart(corpus, apart or {})
    if corpus.is_tars:
        yield from list_tars(corpus, without)
        return
    cut = None if corpus.strip is None else corpus.stripped
    match = None if corpus.match is None else corpus.matched
    files = list_images(source_of(corpus), without, cut, corpus.side_kinds, match)
    is_wanted = matching(corpus.pattern or "**")
    for file in files:
        name = file.key if corpus.renames else stem(file.path)
        if is_wanted(file.path) and not is_forgotten(name, forgotten):
            yield file


def without_apart(corpus: Corpus, apart: Mapping[Place, str], *, is_said: bool = True) -> Without:
    """Return what tells whether a folder of a corpus holds what must not be its input.

    Such are the places that are apart, and any folder that bears a workspace's mark.

    Args:
        corpus: which is listed.
        apart: places of which nothing is taken, and what they are.
        is_said: whether what is left out is said.
    """

    def without(path: str, inside: Sequence[Found]) -> bool:
        folder = f"{corpus.folder.rstrip('/')}/{path}"
        here = Place.of(folder, corpus.access)
        what = next((what for place, what in apart.items() if place.holds(here)), None)
        if what is None and any(found.name == MARK for found in inside):
            what = "another workspace"
        if what is not None and is_said:
            say(f"left out of the corpus {corpus.path}: {folder}, which is {what}")
        return what is not None

    return without


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
