"""Fitted operators: a configuration goes in, the operator that it uses comes out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from dot_kernels import GaussianMoments
from dot_kernels.rounds import AnyOperator
from tasks.config import Run
from tasks.fit.latent_size import levels_of
from tasks.fit.levels.plan import plan_level_map
from tasks.fit.reduce import adds_noise, plan_reduction
from tasks.fit.rounds.plan import plan_round_map
from tasks.fit.select import plan_selection, read_selection
from tasks.io.artifacts.moments import load_operator
from tasks.io.errors import StepMissing
from tasks.io.ledger import Record
from tasks.io.workspace import Workspace, compaction_told, operator_artifact, results_name
from tasks.jobs import Planned


class OperatorRef(BaseModel):
    """A fitted operator, as plans and the parameters of runs refer to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str
    """Digest of its file, as its record has it."""
    is_stochastic: bool
    """Whether it adds noise: that of a source with a nearly singular covariance does."""


@dataclass(frozen=True)
class FittedRun(Run):
    """A run whose operator is known: what every step after the fit is planned from."""

    operator: OperatorRef

    @property
    def results(self) -> str:
        """The name of the folders of what is made with the operator."""
        return results_name(self.operator.name, self.config.enhance.name)


def fitted(run: Run) -> FittedRun:
    """Return the run with its operator, which is looked for here once.

    Raises:
        StepMissing: it has not been fitted, or not with these options and images.
    """
    with compaction_told(run.workspace):
        return FittedRun(run.config, run.workspace, find_operator(run))


def fit_facts(run: FittedRun) -> dict[str, Any]:
    """Return what the record of a run's operator says of its fit, by name."""
    return _record_of(run, run.operator.name)[1]


def _record_of(run: Run, name: str) -> tuple[Record, dict[str, Any]]:
    """Return the record of an operator, and its body."""
    artifact = operator_artifact(run.config.restored_name, name)
    record = run.workspace.ledger.survey(artifact.rpartition("/")[0]).records(artifact)[-1]
    return record, run.workspace.ledger.facts(record)


def find_operator(run: Run) -> OperatorRef:
    """Return the operator of the run's configuration.

    Raises:
        StepMissing: it has not been fitted, or not with these options and images.
    """
    refit = "the operator must be fitted for these images and options, but is not; "
    refit += "run `dotpipe fit CONFIG` first"
    artifact, job = plan_selection(run)
    if job is not None:
        raise StepMissing(refit)
    try:
        reduction = plan_reduction(run, read_selection(run.workspace, artifact))
        maps = [unit for number in range(run.config.reapply + 1) for unit in _maps_of(run, number)]
    except StepMissing as error:
        raise StepMissing(refit) from error
    if reduction.job is not None or any(unit.job for unit in maps):
        raise StepMissing(refit)
    record, facts = _record_of(run, reduction.operator)
    is_stochastic = adds_noise(facts)
    return OperatorRef(name=reduction.operator, digest=record.digest, is_stochastic=is_stochastic)


def _maps_of(run: Run, number: int) -> Iterator[Planned]:
    """Yield the units that solve what a round adds to the map of latents of the first.

    Raises:
        StepMissing: something that one of them is fitted to has not been measured.
    """
    yield from plan_round_map(run, number)
    for level in levels_of(run.config):
        yield from plan_level_map(run, level, number)


@lru_cache(maxsize=4)
def read_operator(
    workspace: Workspace, dataset: str, name: str
) -> tuple[AnyOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """Return an operator, the moments that it was fitted to, and where these come from.

    The file is read once per process.

    Args:
        workspace: where it lies.
        dataset: name of the data set that is enhanced.
        name: of the operator.

    Returns:
        the operator; moments by ``source`` and ``target``; facts of the fit by name.
    """
    path = f"{operator_artifact(dataset, name)}.safetensors"
    with workspace.store.fetched(path) as file:
        return load_operator(file, path)
