"""Whether a run that failed can heal: told by the run's process, asked by who repeats runs.

Of a run that has ended, the Prefect server keeps a sentence and no error. So the process of the
run, which has the error, writes on the run what ``can_heal`` says of it, before the run ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from flows.runs.prefect_api import client, patiently
from tasks.io.errors import can_heal

_LABEL = "dotpipe.can-heal"


@contextmanager
def healing_noted(run: UUID | None) -> Iterator[None]:
    """Note on a flow run that it cannot heal, if the block fails with such an error.

    Args:
        run: the id of the flow run; None outside of any.
    """
    try:
        yield
    except Exception as error:
        if run is not None and not can_heal(error):
            with suppress(httpx.HTTPError, ObjectNotFound):  # the error matters more than the note
                patiently(partial(_note, run))
        raise


def may_heal(run: FlowRun) -> bool:
    """Whether a run that has ended badly may end otherwise if it is submitted again.

    One that failed before it began cannot: its worker's version of this software does not
    take its parameters.
    """
    if run.state_type == StateType.FAILED and run.run_count == 0:
        return False
    return run.labels.get(_LABEL) is not False


def _note(run: UUID) -> None:
    with client() as api:
        api.update_flow_run_labels(run, {_LABEL: False})
