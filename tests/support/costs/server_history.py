"""What the database of a Prefect server has of ``empty_shards``, once all of it is written."""

import time
from typing import NamedTuple

from servers.postgres import Database

STATES, EVENTS, LOGS = 3, 4, 2
"""Of each shard: pending, running, completed; an event for each, and dotpipe's own; a line of
dotpipe's and one of Prefect's."""

_PATIENCE_S = 60


class Recorded(NamedTuple):
    """How much of what was told of shards is in the database."""

    completed: int
    states: int
    events: int
    logs: int

    @classmethod
    def of(cls, shards: int) -> "Recorded":
        """All that is told of so many shards."""
        return cls(shards, STATES * shards, EVENTS * shards, LOGS * shards)

    @classmethod
    def in_(cls, database: Database) -> "Recorded":
        """What a database has now."""
        return cls(*map(int, database.ask(_COUNTS).split("|")))


_COUNTS = """select (select count(*) from task_run where state_type = 'COMPLETED'),
    (select count(*) from task_run_state),
    (select count(*) from events where event like 'prefect.task-run.%'
        or event like 'dotpipe.shard.%'),
    (select count(*) from log where task_run_id is not null)"""


def wait_until_recorded(database: Database, shards: int) -> float:
    """When all was written; fails if some of it is not, and nothing comes any more."""
    wanted = Recorded.of(shards)
    last, changed = Recorded.in_(database), time.time()
    while last != wanted:
        assert time.time() - changed < _PATIENCE_S, f"the server lost some of it: {last}"
        time.sleep(0.5)
        if (now := Recorded.in_(database)) != last:
            last, changed = now, time.time()
    return changed


def size_of(database: Database, *tables: str) -> int:
    """Bytes of some tables with their indexes; of the whole database where none is named."""
    sizes = [f"pg_total_relation_size('{table}')" for table in tables]
    return int(database.ask(f"select {' + '.join(sizes) or _WHOLE}"))


_WHOLE = "pg_database_size(current_database())"
