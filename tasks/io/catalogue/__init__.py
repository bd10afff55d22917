"""The catalogue of a data set: its images and shards, larger than memory."""

from tasks.io.catalogue.catalogue import Catalogue, Known, Place
from tasks.io.catalogue.join import counterparts
from tasks.io.catalogue.shard_list import ShardEntry, read_shards, write_catalogue

__all__ = [
    "Catalogue",
    "Known",
    "Place",
    "ShardEntry",
    "counterparts",
    "read_shards",
    "write_catalogue",
]
