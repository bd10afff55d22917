"""Blocks of shards: what one run on a pool of workers is given to enhance."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from tasks.config.compute import Blocks
from tasks.jobs import Planned


def blocks_of(
    units: Iterable[Planned], blocks: Blocks, passed: Callable[[int], None] = lambda _: None
) -> Iterator[list[Planned]]:
    """Yield the blocks of shards of which something is missing, in their order.

    They are cut from all shards, done or not, so that a block is the same whatever of it is done.
    With ``blocks.min_shards`` several blocks that miss little go together; then the shards that are
    done are left out, of which there may be more than a request has room for. Such a block depends
    on what is done: after a crash other blocks may be put together, and two runs divide the shards
    that both were given.

    Args:
        units: all shards.
        blocks: how large blocks are.
        passed: called with the images of a block that are done already.
    """
    together: list[list[Planned]] = []
    for _, block in groupby(enumerate(units), lambda unit: unit[0] // blocks.shards):
        planned = [unit for _, unit in block]
        passed(sum(unit.images for unit in planned if unit.job is None))
        if _missing(planned):
            together.append(planned)
        if sum(map(len, map(_missing, together))) >= blocks.min_shards:
            yield _joined(together)
            together = []
    if together:
        yield _joined(together)


def _joined(together: list[list[Planned]]) -> list[Planned]:
    if len(together) == 1:
        return together[0]
    return [unit for block in together for unit in _missing(block)]


def _missing(block: list[Planned]) -> list[Planned]:
    return [unit for unit in block if unit.job is not None]
