"""Fitted operators: which one a configuration uses, and reading it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from dot_kernels import GaussianMoments, TransportOperator
from tasks.config import Run
from tasks.fit.reduce import plan_reduction
from tasks.fit.select import plan_selection, read_selection
from tasks.io.artifacts.moments import load_operator
from tasks.io.errors import StepMissing
from tasks.io.workspace import Workspace, operator_artifact


class OperatorRef(BaseModel):
    """A fitted operator, as plans and the parameters of runs refer to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str
    is_stochastic: bool


@dataclass(frozen=True)
class FittedRun(Run):
    """A run whose operator is known; what every step after the fit is planned from."""

    operator: OperatorRef


def fitted(run: Run) -> FittedRun:
    """The run with its operator, which is looked for once.

    Raises:
        StepMissing: it has not been fitted, or not with these options and images.
    """
    return FittedRun(run.config, run.workspace, find_operator(run))


def find_operator(run: Run) -> OperatorRef:
    """The operator of this configuration.

    Raises:
        StepMissing: it has not been fitted, or not with these options and images.
    """
    refit = "the operator must be fitted for these images and options, but is not; "
    refit += "run `dotpipe fit CONFIG` first"
    artifact, job = plan_selection(run)
    if job is not None:
        raise StepMissing(refit)
    try:
        name, reduction = plan_reduction(run, read_selection(run.workspace, artifact))
    except StepMissing as error:
        raise StepMissing(refit) from error
    if reduction is not None:
        raise StepMissing(refit)
    artifact = operator_artifact(run.config.restored_name, name)
    record = run.workspace.ledger.survey(artifact.rpartition("/")[0]).records(artifact)[-1]
    branch = run.workspace.ledger.facts(record)["diagnostics"]["branch"]
    return OperatorRef(name=name, digest=record.digest, is_stochastic=branch == "stochastic")


@lru_cache(maxsize=4)
def read_operator(
    workspace: Workspace, dataset: str, name: str
) -> tuple[TransportOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """An operator, the moments of both sides, and its provenance; read once per process."""
    path = f"{operator_artifact(dataset, name)}.safetensors"
    with workspace.store.fetched(path) as file:
        return load_operator(file, path)
