"""Decide whether the operator in use stays, or one is fitted to what was measured.

The measured moments and all operators go in; the name of the one to use comes out. An operator
stays as long as the statistics are near those that it was itself fitted to, so slow drift adds
up and ends in a refit.
"""

from collections.abc import Iterator
from typing import NamedTuple

from prefect import task

from dot_kernels import GaussianMoments, gelbrich_distance
from tasks.config import Run
from tasks.fit.decision import (
    Decision,
    decision_artifact,
    decision_inputs,
    decision_mark,
    find_decision,
    recipe_digest,
    survey_beside,
)
from tasks.fit.select import Selection
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import load_operator
from tasks.io.errors import CorpusError
from tasks.io.ledger import Record, summarised
from tasks.io.workspace import Workspace, operator_artifact
from tasks.jobs import Job, Line, Target, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger


class DecideJob(Job):
    """Compare the measured moments with the operators that there are."""

    target: Target
    files: MomentFiles
    dataset: str
    """Name of the data set that is enhanced."""
    ridge: float
    recipe: str
    """Digest of what operators must share to stand for one another."""
    refit_beyond: float
    void: tuple[Line, ...] = ()
    """Records of this decision from the same inputs, to be withdrawn, as its operator is gone."""


class _Comparison(NamedTuple):
    """How far the statistics are from an operator's own; sorts by distance."""

    moved: float
    """Squared Gelbrich distances of source and target from what it was fitted to, added up."""
    apart: float
    """Squared Gelbrich distance between the source and target that it was fitted to."""
    operator: str

    def is_near(self, refit_beyond: float) -> bool:
        """Return whether the operator may be used for the statistics."""
        return self.moved <= refit_beyond * self.apart


@task(name="decide", task_run_name="decide on the operator of {job.dataset}", **SHARD_POLICY)
def decide_refit(job: DecideJob) -> None:
    """Write the decision, unless another run has; safe to repeat."""
    make_decision(job)


def plan_decision(run: Run, selection: Selection) -> DecideJob | None:
    """Return the job that decides; None if that is done, or if every change means a refit.

    Raises:
        StepMissing: the moments have not been measured.
    """
    if run.config.fit.refit_beyond is None:
        return None
    files = MomentFiles.of(run, selection)
    if find_decision(run, files) is not None:
        return None
    artifact, mark = decision_artifact(run.config), decision_mark(run.config, files)
    records = survey_beside(artifact, run.workspace).records(artifact)
    void = tuple(record for record in records if record.fingerprint == mark)
    return DecideJob(
        workspace=run.workspace.url,
        target=Target(
            artifact=artifact,
            fingerprint=mark,
            inputs=summarised(decision_inputs(run.config, files), "decide"),
            replaces=bool(records) and not void,
        ),
        files=files,
        dataset=run.config.restored_name,
        ridge=run.config.fit.ridge,
        recipe=recipe_digest(run.config, files),
        refit_beyond=run.config.fit.refit_beyond,
        void=void,
    )


def make_decision(job: DecideJob) -> None:
    """Withdraw the decision if its operator is gone, and decide, unless another run has."""
    job.opened().ledger.withdraw(map(Record._make, job.void))
    settle(job, write_decision)


def write_decision(job: DecideJob) -> Decision:
    """Write which operator is used from now on.

    Raises:
        CorpusError: the moments are of too few patches, or of other dimensions than an
            operator's, so that no transport can be fitted to them.
    """
    workspace = job.opened()
    with publishing(workspace, job.target) as publication:
        decision = _decide(job, workspace)
        text = decision.model_dump_json(indent=1)
        publication.file(f"{job.target.artifact}.json").write_text(text, "utf-8")
    logger().info("decided operator=%s moved=%s", decision.operator, decision.share)
    return decision


def _decide(job: DecideJob, workspace: Workspace) -> Decision:
    """Return the decision: the operator in use if it is near, else the nearest that is near.

    If none is near, an operator is to be fitted to these statistics.
    """
    source, target = (statistics.whole for statistics in job.files.read(workspace))

    def compare(operator: str) -> _Comparison:
        return _compared(source, target, operator, job.dataset, workspace)

    former = _in_use(job, workspace)
    found = None if former is None else compare(former)
    if found is None or not found.is_near(job.refit_beyond):
        others = map(compare, (name for name in _comparable(job, workspace) if name != former))
        found = min((each for each in others if each.is_near(job.refit_beyond)), default=found)
    own = job.files.operator(job.ridge)
    if found is None:
        return Decision(operator=own, recipe=job.recipe, refit_beyond=job.refit_beyond)
    return Decision(
        operator=found.operator if found.is_near(job.refit_beyond) else own,
        recipe=job.recipe,
        refit_beyond=job.refit_beyond,
        compared_with=found.operator,
        moved=found.moved,
        apart=found.apart,
    )


def _in_use(job: DecideJob, workspace: Workspace) -> str | None:
    """Return the operator of the last decision; None if it is gone or of another recipe."""
    if not workspace.ledger.records(job.target.artifact):
        return None
    former = Decision.model_validate_json(workspace.store.read(f"{job.target.artifact}.json"))
    is_there = bool(workspace.ledger.records(operator_artifact(job.dataset, former.operator)))
    return former.operator if is_there and former.recipe == job.recipe else None


def _comparable(job: DecideJob, workspace: Workspace) -> Iterator[str]:
    """Yield the names of the operators of this recipe, whichever configuration fitted them."""
    artifact = operator_artifact(job.dataset, "any")
    for record in sorted(survey_beside(artifact, workspace).all()):
        if workspace.ledger.facts(record).get("recipe") == job.recipe:
            yield record.artifact.rpartition("/")[2]


def _compared(
    source: GaussianMoments,
    target: GaussianMoments,
    operator: str,
    dataset: str,
    workspace: Workspace,
) -> _Comparison:
    """Compare statistics with those that an operator was fitted to, which its file holds.

    Raises:
        CorpusError: the moments are of too few patches, or of other dimensions.
    """
    path = f"{operator_artifact(dataset, operator)}.safetensors"
    with workspace.store.fetched(path) as file:
        _, own, _ = load_operator(file, path)
    pairs = (source, own["source"]), (target, own["target"])
    try:
        moved = sum(gelbrich_distance(now, then) for now, then in pairs)
    except ValueError as error:
        raise CorpusError(f"no transport can be fitted: {error}") from error
    return _Comparison(moved, gelbrich_distance(own["source"], own["target"]), operator)
