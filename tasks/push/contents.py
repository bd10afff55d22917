"""What is pushed of a run: which artifacts, and where their files lie in the repository.

enhanced/alpha=+0.50/shard-000000.tar, .parquet, .idx     images, as in the workspace
metrics/alpha+0.50/shard-000000.parquet                   a row for each image
report/fidelity.parquet, curve.png, map.png               numbers of all images together

Features of images, moments and all other tensors stay in the workspace.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.summarise import summary_artifact
from tasks.fit.operators import FittedRun
from tasks.io.errors import StepMissing
from tasks.io.ledger import Ledger, Record
from tasks.io.workspace import Signal, enhanced_folder, metrics_folder, reports_folder
from tasks.jobs import Job
from tasks.report.report import plan_report

_FOLDERS = {"enhanced": "enhanced", "metrics": "metrics", "reports": "report"}
"""Folders of the workspace that are pushed, and what they are called in the repository."""

_OF_REPORT = ("fidelity.parquet", "curve.png", "map.png")

REPORT = "report"
"""Name of the unit that is no shard: numbers and figures of all images."""


class File(NamedTuple):
    """A file of the workspace that goes to a repository."""

    path: str
    """In the repository."""
    source: str
    """In the workspace."""
    size: int
    sha256: str


class Part(NamedTuple):
    """The artifacts of one shard, or those of the whole run."""

    name: str
    """Of the shard."""
    images: int
    records: tuple[Record, ...]


def parts_of(run: FittedRun, alphas: Sequence[float]) -> Iterator[Part]:
    """Yield what is to be in the repository, shard by shard, and last what is of all shards.

    Args:
        run: the configuration, with its operator.
        alphas: of the enhanced images.

    Raises:
        StepMissing: something of it is not made, or not with these options and images.
    """
    dataset, results = run.config.restored_name, run.results
    wanted = [Signal("enhanced", alpha) for alpha in alphas]
    folders = [enhanced_folder(dataset, results, signal) for signal in wanted]
    folders += [metrics_folder(dataset, results, each) for each in signals_to_score(run.config)]
    survey = cache(run.workspace.ledger.survey)
    for unit in plan_enhancement(run, with_images=True):
        _require_made(unit.job, unit.unit, wanted)
        records = (survey(folder).records(f"{folder}/{unit.unit}")[-1] for folder in folders)
        yield Part(unit.unit, unit.images, tuple(records))
    (report, _), job = plan_report(run)
    if job is not None and job.target is not None:
        raise StepMissing(
            "the report must be that of these images and options, but is not; run `dotpipe run "
            "CONFIG` first"
        )
    of_all = survey(reports_folder(dataset, results))
    names = (summary_artifact(run), report)
    yield Part(REPORT, 0, tuple(of_all.records(name)[-1] for name in names))


def _require_made(job: Job | None, shard: str, wanted: Sequence[Signal]) -> None:
    """Check that a shard's tables and images are made, so far as they are wanted.

    Raises:
        StepMissing: some are not.
    """
    if not isinstance(job, EnhanceJob):
        return
    missing = [output.signal.label for output in job.enhanced if output.signal in wanted]
    missing += [f"metrics of {output.signal.label}" for output in job.tables]
    if missing:
        raise StepMissing(
            f"the shard {shard} must be finished with these options and images, but lacks "
            f"{missing[0]}; run `dotpipe run CONFIG` first"
        )


def changing(path: str) -> StepMissing:
    """Return the error for what another run takes away, or replaces, while it is pushed."""
    return StepMissing(
        f"{path} must stay as it is while it is pushed, but another run is changing it; run "
        "`dotpipe push` again when that has ended (if none is at work, `dotpipe repair CONFIG` "
        "first)"
    )


def facts_of(ledger: Ledger, record: Record) -> dict[str, Any]:
    """Return the body of a record.

    Raises:
        StepMissing: it was withdrawn meanwhile.
    """
    try:
        return ledger.facts(record)
    except FileNotFoundError as error:
        raise changing(record.artifact) from error


def files_of(ledger: Ledger, record: Record) -> list[File]:
    """Return the files of an artifact that go to the repository, as its record tells them.

    Args:
        ledger: of the workspace.
        record: of the artifact.

    Raises:
        StepMissing: the record was withdrawn meanwhile.
    """
    known: Mapping[str, Mapping[str, object]] = facts_of(ledger, record)["files"]
    found = ((path_on_hub(source), source, facts) for source, facts in sorted(known.items()))
    return [
        File(path, source, int(str(facts["size"])), str(facts["sha256"]))
        for path, source, facts in found
        if path is not None
    ]


def path_on_hub(path: str) -> str | None:
    """Return where a file of the workspace lies in the repository; None if it does not go there.

    >>> path_on_hub("enhanced/faces/05f54ddf719ad697/alpha=+0.50/shard-000000.tar")
    'enhanced/alpha=+0.50/shard-000000.tar'
    """
    kind, *_, name = path.split("/", 3)
    if kind not in _FOLDERS or (kind == "reports" and name not in _OF_REPORT):
        return None
    if kind == "metrics" and not name.endswith(".parquet"):  # sums that only a run reads
        return None
    return f"{_FOLDERS[kind]}/{name}"


def artifact_on_hub(artifact: str) -> str:
    """Return what an artifact is called in the repository: without data set and operator.

    >>> artifact_on_hub("metrics/faces/05f54ddf719ad697/curve/shard-000000")
    'metrics/curve/shard-000000'
    """
    kind, *_, name = artifact.split("/", 3)
    return f"{_FOLDERS[kind]}/{name}"
