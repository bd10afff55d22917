"""How tasks are run: what is retried and what is not, said once."""

import logging
from typing import Any

from prefect import get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError


def _is_worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Disks and networks mend by themselves; a mistake is the same the next time."""
    return isinstance(state.result(raise_on_failure=False), OSError)


SHARD_POLICY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 60],
    "retry_condition_fn": _is_worth_a_retry,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""One shard: repeated when a file cannot be read or written. Prefect's own cache is off:
done is what the ledger says."""


def logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The run's logger, or the module's where a task's function is called directly."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("tasks")
