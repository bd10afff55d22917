"""The files of a corpus by shard: as they lie in its shards now, and new ones in new shards."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from tasks.config.sections import Corpus
from tasks.io.catalogue import Catalogue
from tasks.shard.assignment import Block, assign_files, free_shards
from tasks.shard.corpus import SourceFile, list_files


def blocks_of(
    corpus: Corpus,
    catalogue: Catalogue | None,
    forgotten: Mapping[str, Sequence[str]],
    size: int,
    gone: Collection[str] = (),
) -> Iterator[Block]:
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
) -> Iterator[Block]:
    """A shard for every tar; tars that have one keep it."""
    shards = () if catalogue is None else catalogue.shards
    known = {entry.tar: entry.shard for entry in shards}
    free = free_shards(catalogue, gone)
    for tar in tars:
        yield Block(known.get(tar.path) or next(free), (tar,))
