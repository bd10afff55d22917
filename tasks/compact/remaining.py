"""What a compaction ends with: steps over whole data sets, which see no image.

Numbers of all images stay as they are and only get the fingerprint of the merged shards' tables;
choices, matches and the report are made again from indexes and tables.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from tasks.compact.artifacts import require_whole
from tasks.compact.facts import OF_ONE
from tasks.compact.journal import Former
from tasks.config import Config, Run, step_names
from tasks.enhance.match import MatchJob, write_matches
from tasks.evaluate.fidelity import FidelityJob, write_fidelity
from tasks.evaluate.fidelity_targets import Compared, fidelity_targets
from tasks.evaluate.summarise import SummaryJob, write_summary
from tasks.evaluate.sums.add import ComparedSumJob, SignalSumJob, write_sums
from tasks.fit.decide import DecideJob, make_decision
from tasks.fit.decision import decision_artifact
from tasks.fit.operators import FittedRun, fitted
from tasks.fit.select import SelectJob, write_selection
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger.publication import is_there
from tasks.io.workspace import Workspace, key_of_file, signals_folder
from tasks.jobs import Job, Target, publishing, settle
from tasks.pipeline import whole_pipeline
from tasks.report.report import ReportJob, make_report
from tasks.shard.index import IndexJob, write_index
from tasks.shard.retire import KINDS as SHARD_KINDS
from tasks.shard.retire import RetireJob, retire


def numbers_of(config: Config, workspace: Workspace) -> dict[str, Former]:
    """Return the artifacts of a finished configuration whose content merging leaves as it is.

    Returns:
        what their records say, by name: the decision on the operator, fidelity, and its summary.
    """
    run = fitted(Run(config, workspace))
    folder = signals_folder(config.restored_name, run.results)
    records = list(workspace.ledger.survey(folder).all())
    for artifact in (f"{folder.rpartition('/')[0]}/fidelity", decision_artifact(config)):
        records += workspace.ledger.records(artifact)
    return {
        record.artifact: Former(
            fingerprint=record.fingerprint,
            digest=record.digest,
            body=workspace.ledger.facts(record),
        )
        for record in records
    }


def finish(config: Config, copied: Mapping[str, Former]) -> None:
    """Do all that is missing of a configuration once its indexes name merged shards.

    Args:
        config: whose merged shards are there.
        copied: what ``numbers_of`` gave before.

    Raises:
        StepMissing: an image would have to be computed again, as where options have changed.
    """
    run = Run.of(config)
    for step in whole_pipeline(run):
        if step.name == step_names.ADD_UP:  # which numbers that are copied do not need
            _copy_fidelity(fitted(run), copied)
        for unit in step.units():
            if unit.job is not None:
                _settle(unit.job, copied)


def _copy_fidelity(run: FittedRun, copied: Mapping[str, Former]) -> None:
    """Give fidelity that stands the fingerprint that it is to have."""
    for signal in fidelity_targets(run, Compared.of(run)):
        former, target = copied.get(signal.artifact), signal.target
        if target is not None and former is not None and _stands(target, former, run.workspace):
            _publish_again(target, former, run.workspace)


_WORKS: dict[type[Job], Callable[[Any], object]] = {
    IndexJob: partial(settle, work=write_index),
    RetireJob: retire,
    SelectJob: partial(settle, work=write_selection),
    MatchJob: partial(settle, work=write_matches),
    DecideJob: make_decision,
    SignalSumJob: partial(settle, work=write_sums),
    ComparedSumJob: partial(settle, work=write_sums),
    FidelityJob: partial(settle, work=write_fidelity),
    SummaryJob: partial(settle, work=write_summary),
    ReportJob: partial(settle, work=make_report),
}
"""The jobs that see no image, and what does them."""


def _settle(job: Job, copied: Mapping[str, Former]) -> None:
    """Do a job, or give what there is the fingerprint that it is to have.

    Raises:
        StepMissing: it is of a kind that sees images.
    """
    work, targets = _WORKS.get(type(job)), job.targets()
    if work is None:
        names = ", ".join(target.artifact for target in targets)
        raise StepMissing(
            f"all must be done before shards are merged, but {names} is not; run `dotpipe run "
            "CONFIG`"
        )
    former = copied.get(targets[0].artifact) if targets else None
    if former is not None and _stands(targets[0], former, job.opened()):
        _publish_again(targets[0], former, job.opened())
    else:
        work(job)


def _stands(target: Target, former: Former, workspace: Workspace) -> bool:
    """Whether an artifact is as it was before shards were merged.

    Raises:
        ArtifactDamaged: its record is, but not its files.
    """
    marks = [record.fingerprint for record in workspace.ledger.records(target.artifact)]
    files, store = former.body["files"], workspace.store
    if marks == [former.fingerprint]:
        require_whole(files, store)
        return True
    return not marks and all(is_there(store, path, files[path]) for path in files)


def _publish_again(target: Target, former: Former, workspace: Workspace) -> None:
    """Publish the same files of an artifact under another fingerprint."""
    with publishing(workspace, target) as publication:
        for path in former.body["files"]:
            publication.file(path).write_bytes(workspace.store.read(path))
        publication.digest = former.digest
        facts = {name: value for name, value in former.body.items() if name not in OF_ONE}
        publication.facts |= facts


def remove_unnamed(shards: Mapping[str, Collection[str]], workspace: Workspace) -> None:
    """Remove all that was made of shards which no index names, with files that have no record.

    Args:
        shards: their names, by data set.
        workspace: where, while nobody else is at work there. A data set without an index keeps
            them: the run that writes it gives them up.
    """
    for dataset, names in shards.items():
        try:
            catalogue = workspace.catalogue(dataset)
        except (StepMissing, ArtifactDamaged):
            continue
        unnamed = set(names) - {entry.shard for entry in catalogue.shards}
        for kind in SHARD_KINDS:
            folder = f"{kind}/{dataset}"
            workspace.ledger.retire(workspace.ledger.survey(folder).of_shards(unnamed))
            for path in sorted(workspace.store.names(folder)):  # of none that has a record
                if _shard_of(path) in unnamed and key_of_file(path) is None:
                    workspace.store.remove(path)


def _shard_of(path: str) -> str:
    """Return the name of the shard that a file is of; any other text of one that is of none."""
    return path.rpartition("/")[2].partition(".")[0]
