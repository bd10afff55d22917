"""The images that an operator was fitted on, among those of a data set.

An image is one of the fit if a restored or a natural image of its key was. Of a data set of any
size only these keys are held in memory, and the fit has few.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from tasks.fit.operators import FittedRun
from tasks.fit.reduce import DIGITS
from tasks.fit.select import plan_selection, read_selection
from tasks.io.workspace import Workspace, dataset_folder, key_digest, operator_artifact
from tasks.jobs import finished_digest


class Fit(BaseModel):
    """Where it is written which images an operator was fitted on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    """The operator's artifact, whose record has digests of the keys if they are not too many."""
    selection: str | None
    """The artifact of the selection; None where the operator may be older than it."""

    @classmethod
    def of(cls, run: FittedRun) -> "Fit":
        """The fit of a run's operator."""
        artifact = operator_artifact(run.config.restored_name, run.operator.name)
        is_kept = run.config.fit.refit_beyond is not None
        return cls(operator=artifact, selection=None if is_kept else plan_selection(run)[0])

    def is_known(self, workspace: Workspace) -> bool:
        """Return whether it is known which images the operator was fitted on."""
        return self.selection is not None or "fitted_on" in _facts(workspace, self)


def fitted_keys(workspace: Workspace, fit: Fit, dataset: str) -> frozenset[str] | None:
    """The keys of a data set's accepted images that the operator was fitted on.

    Returns:
        None where it is not known: the operator was kept, and its images were too many for its
        record.

    Raises:
        StepMissing: the data set has not been sharded.
    """
    folder = dataset_folder(dataset)
    index = finished_digest(workspace.ledger.survey(folder), f"{folder}/index")
    return _fitted_keys(workspace, fit, dataset, index)


@lru_cache(maxsize=4)
def _fitted_keys(
    workspace: Workspace, fit: Fit, dataset: str, _index: str
) -> frozenset[str] | None:
    """Do what ``fitted_keys`` does, once per process for an index of this digest."""
    of_the_fit = _test_of(workspace, fit)
    if of_the_fit is None:
        return None
    catalogue = workspace.catalogue(dataset)
    keys = (catalogue.accepted(entry, ("key",))["key"] for entry in catalogue.shards)
    return frozenset(key for chunk in keys for key in of_the_fit(chunk))


def _test_of(workspace: Workspace, fit: Fit) -> Callable[[pa.ChunkedArray], Iterator[str]] | None:
    """What picks the keys of the fit out of others; None where they are not known."""
    if (listed := _facts(workspace, fit).get("fitted_on")) is not None:
        digests = frozenset(listed)
        return lambda keys: (k for k in keys.to_pylist() if key_digest(k)[:DIGITS] in digests)
    if fit.selection is None:
        return None
    selection = read_selection(workspace, fit.selection)
    sides = (*selection.source.values(), *selection.target.values())
    selected = pa.array({key for shard in sides for key in shard}, pa.string())
    return lambda keys: iter(keys.filter(pc.is_in(keys, value_set=selected)).to_pylist())


def _facts(workspace: Workspace, fit: Fit) -> dict[str, Any]:
    """What the record of the operator says."""
    return workspace.ledger.facts(workspace.ledger.records(fit.operator)[-1])
