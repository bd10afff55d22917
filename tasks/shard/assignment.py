"""Which shard a file goes to: the one it is in, or a new one.

Files stay where they are when others come or go, so that a data set that grows redoes
nothing: new files make new shards, a changed or removed file touches its own shard only.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import NamedTuple

from tasks.config.sections import Corpus
from tasks.io.catalogue import Catalogue, Known
from tasks.io.shards import shard_name
from tasks.io.shards.keys import ODD_NAME
from tasks.shard.corpus import SourceFile, list_files


class ShardFiles(NamedTuple):
    """The files of one shard, in the order of their keys."""

    shard: str
    files: tuple[SourceFile, ...]


def assign_files(
    files: Iterable[SourceFile],
    catalogue: Catalogue | None,
    size: int,
    gone: Collection[str] = (),
) -> Iterator[ShardFiles]:
    """The shards that these files make; those that have lost all their files are left out.

    Holds the files of as many shards as the catalogue has runs, and of one new one.

    Args:
        files: in the order of keys and paths; odd names anywhere.
        catalogue: of the data set as it is; None where there is none.
        size: images in a new shard.
        gone: shards that were retired.
    """
    joined = None if catalogue is None else _Join(catalogue)
    free, fresh = free_shards(catalogue, gone), list[SourceFile]()
    for file in files:
        if joined is not None:
            joined.come_to(file)
            yield from joined.complete()
        if joined is None or not joined.place(file):
            fresh.append(file)
        if len(fresh) == size:
            yield ShardFiles(next(free), tuple(fresh))
            fresh = []
        if joined is not None:
            yield from joined.complete()
    if joined is not None:
        yield from joined.rest()
    if fresh:
        yield ShardFiles(next(free), tuple(fresh))


def free_shards(catalogue: Catalogue | None, gone: Collection[str] = ()) -> Iterator[str]:
    """Names for new shards, from the first that is not taken, and never was.

    So no retirement takes a new shard for the old one of its name, and a first run that was
    killed gives the rest of its shards the names that they would have had.
    """
    taken = set(gone)
    if catalogue is not None:
        taken |= {entry.shard for entry in catalogue.shards}
    return (name for name in map(shard_name, count()) if name not in taken)


class _Join:
    """Files beside those that were offered before, both in the order of keys and paths."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._known = catalogue.offered()
        self._next = next(self._known, None)
        self._odd: defaultdict[str, deque[str]] = defaultdict(deque)
        for path, shard in catalogue.odd():
            self._odd[path].append(shard)  # two names may be escaped alike
        self._awaited = Counter({entry.shard: entry.rows for entry in catalogue.shards})
        self._open: dict[str, list[SourceFile]] = {}
        self._complete: deque[str] = deque()

    def come_to(self, file: SourceFile) -> None:
        """Pass the known files before one: they are no more."""
        if file.refusal.startswith(ODD_NAME):
            return
        while self._next is not None and self._next[:2] < (file.key, file.path):
            self._pass(self._next)

    def place(self, file: SourceFile) -> bool:
        """Put a file that was come to into the shard that it was in; whether it was in one."""
        if file.refusal.startswith(ODD_NAME):
            return self._place_odd(file)
        if self._next is None or self._next[:2] != (file.key, file.path):
            return False
        shard = self._next.shard
        self._next = next(self._known, None)
        self._put(file, shard)
        return True

    def _place_odd(self, file: SourceFile) -> bool:
        if not (shards := self._odd[file.path]):
            return False
        self._put(file, shards.popleft())
        return True

    def complete(self) -> Iterator[ShardFiles]:
        """The shards that all known files have been passed of."""
        while self._complete:
            yield from self._closed(self._complete.popleft())

    def rest(self) -> Iterator[ShardFiles]:
        """What is left when there are no more files."""
        while self._next is not None:
            self._pass(self._next)
        yield from self.complete()
        for shard in sorted(self._open):
            yield from self._closed(shard)

    def _put(self, file: SourceFile, shard: str) -> None:
        self._open.setdefault(shard, []).append(file)
        self._tick(shard)

    def _pass(self, known: Known) -> None:
        """Go on to the next known file: this one is no more."""
        self._next = next(self._known, None)
        self._tick(known.shard)

    def _tick(self, shard: str) -> None:
        self._awaited[shard] -= 1
        if self._awaited[shard] == 0:
            self._complete.append(shard)

    def _closed(self, shard: str) -> Iterator[ShardFiles]:
        if files := self._open.pop(shard, []):
            yield ShardFiles(shard, tuple(files))


def files_by_shard(
    corpus: Corpus,
    catalogue: Catalogue | None,
    forgotten: Mapping[str, Sequence[str]],
    size: int,
    gone: Collection[str] = (),
) -> Iterator[ShardFiles]:
    """The files of a corpus by shard: a tar each, or as they were before.

    Args:
        corpus: where they lie.
        catalogue: of the data set as it is; None where there is none.
        forgotten: digests of keys that must not come back.
        size: images in a new shard.
        gone: shards that were retired.
    """
    files = islice(list_files(corpus, forgotten), corpus.limit)
    if corpus.is_tars:
        return _a_shard_each(files, catalogue, gone)
    return assign_files(files, catalogue, size, gone)


def _a_shard_each(
    tars: Iterable[SourceFile], catalogue: Catalogue | None, gone: Collection[str]
) -> Iterator[ShardFiles]:
    """A shard for every tar; tars that have one keep it."""
    shards = () if catalogue is None else catalogue.shards
    known = {entry.tar: entry.shard for entry in shards}
    free = free_shards(catalogue, gone)
    for tar in tars:
        yield ShardFiles(known.get(tar.path) or next(free), (tar,))
