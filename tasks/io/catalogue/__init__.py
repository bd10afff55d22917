"""The catalogue of a data set: its shards, and its images in order, more than fit in memory."""

from tasks.io.catalogue.catalogue import Catalogue, Known, Place
from tasks.io.catalogue.external_sort import in_order
from tasks.io.catalogue.join import counterparts
from tasks.io.catalogue.sampling import by_shard, disjoint_samples, sample
from tasks.io.catalogue.shard_list import ShardEntry, read_shards, write_catalogue

__all__ = [
    "Catalogue",
    "Known",
    "Place",
    "ShardEntry",
    "by_shard",
    "counterparts",
    "disjoint_samples",
    "in_order",
    "read_shards",
    "sample",
    "write_catalogue",
]
