"""Which shard each file of a corpus goes to: the one it is in, or a new one.

A corpus and the catalogue of its data set go in; the files of one shard after another come
out. Files stay where they are when others come or go, so that a data set that grows redoes
nothing: new files make new shards, a changed or removed file touches its own shard only.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import NamedTuple

from tasks.config.corpora import Corpus
from tasks.config.places import Place
from tasks.io.catalogue import Catalogue, Known, ShardEntry
from tasks.io.shards import shard_name
from tasks.io.shards.cuts.parts import Part
from tasks.io.shards.keys import ODD_NAME
from tasks.shard.corpus import list_files
from tasks.shard.image_files import SourceFile
from tasks.shard.inputs import origin_of_shard


class ShardFiles(NamedTuple):
    """The files of one shard, in the order of their keys; of foreign tars, the one tar."""

    shard: str
    files: tuple[SourceFile, ...]
    part: Part | None = None
    """The part of the tar, if it is cut."""


Parts = Callable[[SourceFile], Sequence[Part] | None]
"""Gives the parts that a tar is cut into; None for a tar that is one shard."""


def files_by_shard(
    corpus: Corpus,
    catalogue: Catalogue | None,
    forgotten: Mapping[str, Sequence[str]],
    size: int,
    gone: Collection[str] = (),
    apart: Mapping[Place, str] | None = None,
    parts_of: Parts = lambda _: None,
) -> Iterator[ShardFiles]:
    """Yield the shards of a corpus with their files, while the corpus is listed.

    A foreign tar makes a shard of its own, and so does each part of one that is cut. Image files
    go to shards by ``assign_files``.

    Args:
        corpus: where the files lie, and how many of them are wanted at most.
        catalogue: of the data set as it is; None where there is none.
        forgotten: digests of keys that must not come back, each with the tars that held it.
        size: images in a new shard.
        gone: names of shards that were retired, which no new shard gets.
        apart: folders of which the corpus takes nothing, as ``apart_from`` gives them.
        parts_of: see ``Parts``.

    Raises:
        CorpusError: the corpus is not there, or one of its tars.
    """
    files = islice(list_files(corpus, forgotten, apart), corpus.limit)
    if corpus.is_tars:
        return _tar_by_tar(files, catalogue, gone, parts_of)
    return assign_files(files, catalogue, size, gone)


def assign_files(
    files: Iterable[SourceFile],
    catalogue: Catalogue | None,
    size: int,
    gone: Collection[str] = (),
) -> Iterator[ShardFiles]:
    """Yield the shards that image files make; shards that have lost all files are left out.

    In memory are the files of one shard for each chain of the catalogue, and of a new shard.

    Args:
        files: in the order of keys and paths; those with odd names anywhere.
        catalogue: of the data set as it is; None where there is none.
        size: images in a new shard.
        gone: names of shards that were retired, which no new shard gets.
    """
    known, names, fresh = _KnownShards(catalogue), free_shards(catalogue, gone), list[SourceFile]()
    for file in files:
        yield from known.skip_to(file)
        if not known.take(file):
            fresh.append(file)
        if len(fresh) == size:
            yield ShardFiles(next(names), tuple(fresh))
            fresh = []
        yield from known.complete()
    yield from known.rest()
    if fresh:
        yield ShardFiles(next(names), tuple(fresh))


def free_shards(catalogue: Catalogue | None, gone: Collection[str] = ()) -> Iterator[str]:
    """Yield names for new shards without end, in order: those that no shard has or had.

    So no retirement takes a new shard for the old one of its name, and a first run that was
    killed gives the rest of its shards the names that they would have had.
    """
    taken = {entry.shard for entry in _shards_in(catalogue)}.union(gone)
    return (name for name in map(shard_name, count()) if name not in taken)


class _KnownShards:
    """The shards of a catalogue, which get back those of their files that still come.

    Files come in the order in which the catalogue lists what it was offered, by key and path,
    so both are read in one pass. A shard is complete once each of its listed files has
    come, or been skipped because it comes no more. Odd names are in no order that both share;
    they are looked up by their paths, and a shard that misses one is complete at the end.
    """

    def __init__(self, catalogue: Catalogue | None) -> None:
        self._listed: Iterator[Known] = iter(()) if catalogue is None else catalogue.offered()
        self._next = next(self._listed, None)
        self._odd: defaultdict[str, deque[str]] = defaultdict(deque)
        for path, shard in () if catalogue is None else catalogue.odd():
            self._odd[path].append(shard)  # two names may be escaped alike
        self._awaited = Counter({entry.shard: entry.rows for entry in _shards_in(catalogue)})
        self._open: dict[str, list[SourceFile]] = {}
        self._complete: deque[str] = deque()

    def skip_to(self, file: SourceFile) -> Iterator[ShardFiles]:
        """Skip listed files that would come before this one; yield what that completes."""
        if not _has_odd_name(file):
            while self._next is not None and self._next[:2] < (file.key, file.path):
                self._skip(self._next)
        yield from self.complete()

    def take(self, file: SourceFile) -> bool:
        """Put the file skipped to into the shard that it was in; return whether it was in one."""
        shard = self._former_shard_of(file)
        if shard is None:
            return False
        self._open.setdefault(shard, []).append(file)
        self._count_off(shard)
        return True

    def complete(self) -> Iterator[ShardFiles]:
        """Yield the shards that have become complete, and hold their files no longer."""
        while self._complete:
            yield from self._closed(self._complete.popleft())

    def rest(self) -> Iterator[ShardFiles]:
        """Yield the shards that are left when no more files come."""
        while self._next is not None:
            self._skip(self._next)
        yield from self.complete()
        for shard in sorted(self._open):
            yield from self._closed(shard)

    def _former_shard_of(self, file: SourceFile) -> str | None:
        if _has_odd_name(file):
            shards = self._odd[file.path]
            return shards.popleft() if shards else None
        if self._next is None or self._next[:2] != (file.key, file.path):
            return None
        shard = self._next.shard
        self._next = next(self._listed, None)
        return shard

    def _skip(self, known: Known) -> None:
        self._next = next(self._listed, None)
        self._count_off(known.shard)

    def _count_off(self, shard: str) -> None:
        """Await one file less of a shard."""
        self._awaited[shard] -= 1
        if self._awaited[shard] == 0:
            self._complete.append(shard)

    def _closed(self, shard: str) -> Iterator[ShardFiles]:
        if files := self._open.pop(shard, []):
            yield ShardFiles(shard, tuple(files))


def _tar_by_tar(
    tars: Iterable[SourceFile],
    catalogue: Catalogue | None,
    gone: Collection[str],
    parts_of: Parts,
) -> Iterator[ShardFiles]:
    """Yield a shard for every tar, or part: the one that was made from it, or a new one."""
    known = {entry.tar: entry.shard for entry in _shards_in(catalogue)}
    names = free_shards(catalogue, gone)
    for tar in tars:
        parts: Sequence[Part | None] = parts_of(tar) or [None]
        for part in parts:
            shard = known.get(origin_of_shard(tar, part)) or next(names)
            yield ShardFiles(shard, (tar,), part)


def _shards_in(catalogue: Catalogue | None) -> Sequence[ShardEntry]:
    return () if catalogue is None else catalogue.shards


def _has_odd_name(file: SourceFile) -> bool:
    return file.refusal.startswith(ODD_NAME)
