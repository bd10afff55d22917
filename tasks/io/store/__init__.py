"""A folder or bucket: reading, listing, and writing that is all or nothing."""

from tasks.io.store.access import (
    FROM_ENVIRONMENT,
    Access,
    is_s3,
    require_location,
    require_writable,
    require_written_out,
)
from tasks.io.store.listing import Entry, stem
from tasks.io.store.ranges import Slice
from tasks.io.store.spool import temporary_room
from tasks.io.store.store import Store

__all__ = [
    "FROM_ENVIRONMENT",
    "Access",
    "Entry",
    "Slice",
    "Store",
    "is_s3",
    "require_location",
    "require_writable",
    "require_written_out",
    "stem",
    "temporary_room",
]
