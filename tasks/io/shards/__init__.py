"""Shards: WebDataset tars with an index, as they are written and read; tars of others.

The loader and the reader of others' tars are imported from their modules.
"""

from tasks.io.shards.reader import members_of, origin_of, read_index, read_members, read_sides
from tasks.io.shards.shard import (
    IMAGES,
    INDEX_SCHEMA,
    SHARD_ENDINGS,
    Accepted,
    Member,
    Refused,
    member_name,
    part_name,
    shard_name,
    tar_of,
)
from tasks.io.shards.writer import FilesOfTheirOwn, ShardWriter, TarWriter, write_shard

__all__ = [
    "IMAGES",
    "INDEX_SCHEMA",
    "SHARD_ENDINGS",
    "Accepted",
    "FilesOfTheirOwn",
    "Member",
    "Refused",
    "ShardWriter",
    "TarWriter",
    "member_name",
    "members_of",
    "origin_of",
    "part_name",
    "read_index",
    "read_members",
    "read_sides",
    "shard_name",
    "tar_of",
    "write_shard",
]
