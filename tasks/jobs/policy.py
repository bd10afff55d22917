"""How tasks are run: which failures are retried, and where they log, said once for all tasks."""

import logging
from typing import Any

from prefect import get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError

from tasks.io.errors import can_heal


def _is_worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a task may succeed in a minute: disks and networks may come back."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and can_heal(error)


SHARD_POLICY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 60],
    "retry_condition_fn": _is_worth_a_retry,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Options of a Prefect task that does one shard: it is repeated if a file or store cannot be read
or written. Prefect's own cache is off, because the ledger says what is done."""


def logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the logger of the run; outside a run, the standard logger ``tasks``."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("tasks")
