"""Shards: WebDataset tars with an index, written and read; tars of somebody else.

The loader needs torch and is imported from its module.
"""

from tasks.io.shards.reader import members_of, origin_of, read_index, read_members, read_sides
from tasks.io.shards.shard import (
    INDEX_SCHEMA,
    SHARD_ENDINGS,
    Accepted,
    Member,
    Refused,
    member_name,
    shard_name,
)
from tasks.io.shards.writer import ShardWriter, write_shard

__all__ = [
    "INDEX_SCHEMA",
    "SHARD_ENDINGS",
    "Accepted",
    "Member",
    "Refused",
    "ShardWriter",
    "member_name",
    "members_of",
    "origin_of",
    "read_index",
    "read_members",
    "read_sides",
    "shard_name",
    "write_shard",
]
