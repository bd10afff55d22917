"""The images of several small tars, byte by byte, in the order of keys.

Each tar is read once from its beginning to its end, and the images wait on this machine's disk.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from tasks.io.shards import (
    Accepted,
    Member,
    Refused,
    members_of,
    read_index,
    read_members,
    read_sides,
)
from tasks.io.shards.sides import NONE
from tasks.io.store import Slice, Store, temporary_room


class _Waiting(NamedTuple):
    """An image whose bytes wait in a file."""

    image: Accepted | Refused
    """All of it but the bytes."""
    data: Slice | None = None
    """Where its bytes are; None if it is refused."""


def images_of(sources: Iterable[str], store: Store) -> Iterator[Accepted | Refused]:
    """Yield the images of several shards in the order of their keys, then of their paths.

    Args:
        sources: artifacts of the shards.
        store: of the workspace.

    Raises:
        ArtifactDamaged: one does not hold the bytes that its index tells.
    """
    with temporary_room(), tempfile.TemporaryFile() as spool:
        waiting = [each for source in sources for each in _spooled(source, store, spool)]
        waiting.sort(key=lambda each: (each.image.key, each.image.source))
        for image, data in waiting:
            if isinstance(image, Refused) or data is None:
                yield image
                continue
            spool.seek(data.offset)
            yield dataclasses.replace(image, data=spool.read(data.size))


def _spooled(source: str, store: Store, spool: IO[bytes]) -> Iterator[_Waiting]:
    """Read one shard, its images into the spool."""
    table = read_index(store, f"{source}.parquet")
    members = members_of(table, source.rpartition("/")[0])
    sides, contents = read_sides(store, members), read_members(store, members)
    for row in table.to_pylist():
        if row["status"] != "ok":
            reason = row["reason"] or ""
            yield _Waiting(Refused(key=row["key"], source=row["source"], reason=reason))
            continue
        member, data = next(contents)
        place = Slice(spool.tell(), len(data))
        spool.write(data)
        yield _Waiting(_accepted(row, member, sides.get(member.key, NONE)), place)


def _accepted(row: Mapping[str, Any], member: Member, sides: Mapping[Any, bytes]) -> Accepted:
    """Return an image of an index without its bytes; what the index says of it stays."""
    return Accepted(
        key=member.key,
        source=row["source"],
        data=b"",
        sha256=member.sha256,
        extension=row["member"].rpartition(".")[2],
        width=member.width,
        height=member.height,
        sides=sides,
        remark=row["reason"] or "",
    )
