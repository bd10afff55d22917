"""Scan a large foreign tar: its headers go in, a table of the parts that it is cut into comes out.

Each part becomes a shard by a task of its own, which reads no other bytes of the tar but sides of
its images that stand elsewhere.
"""

from collections.abc import Iterator

from prefect import task

from tasks.config import Run
from tasks.config.corpora import Corpus
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.images import Limits
from tasks.io.shards.cuts.parts import Part, read_across, read_parts, write_parts
from tasks.io.shards.cuts.scan import PartSize, Source, scan
from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tasks.jobs import Job, Outcome, Planned, Target, carry_out, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import at
from tasks.shard.corpus import source_of
from tasks.shard.image_files import SourceFile
from tasks.shard.tars.cuts import Cuts
from tasks.shard.tars.intake import Section
from tasks.shard.tars.stops import Stops


class ScanJob(Job):
    """Find where a tar is cut."""

    target: Target
    corpus: Corpus
    limits: Limits
    tar: SourceFile
    """The tar, as it was listed."""
    samples: int
    """Images and refused members of a part that the tar was not cut into before."""
    size_bytes: int
    """Bytes of such a part above which it ends earlier."""


@task(name="scan", task_run_name="scan {job.tar.path}", **SHARD_POLICY)
def scan_tar(job: ScanJob) -> Outcome:
    """Scan one tar, unless another run has; safe to repeat."""
    return carry_out(job, write_scan)


def plan_scans(run: Run, corpus: Corpus, dataset: str) -> Iterator[Planned]:
    """Yield the scan of every tar of a corpus that is cut, or is to be; done ones have no job.

    Args:
        run: the configuration and its workspace.
        corpus: of tars.
        dataset: name of the data set that they make.

    Raises:
        CorpusError: a tar is not there.
    """
    limits, cuts = run.config.shards.limits(), Cuts(run, corpus, dataset)
    for tar, missing in cuts.scans():
        job = (
            None
            if missing is None
            else ScanJob(
                workspace=run.workspace.url,
                target=missing.target,
                corpus=corpus,
                limits=limits,
                tar=tar,
                samples=missing.size.samples,
                size_bytes=missing.size.size_bytes,
            )
        )
        yield Planned(tar.path, 0, job, (cuts.artifact(tar),))


def write_scan(job: ScanJob) -> Outcome:
    """Read the headers of a tar, and write the table of its parts.

    Raises:
        StepMissing: the tar has changed since it was listed.
    """
    source, corpus = source_of(job.corpus), job.corpus
    require_unchanged(source, job.tar)
    size = PartSize(job.samples, job.size_bytes)
    with source.ranges(job.tar.path) as fetch:
        former, progress = _former_parts(job), _Progress(job.tar)
        tar = Source(job.tar.path, fetch, job.tar.size, progress, former)
        key_of = corpus.renamed if corpus.renames else None
        parts = scan(tar, job.limits, corpus.side_kinds, size, key_of)
    require_unchanged(source, job.tar)
    with publishing(job.opened(), job.target) as publication:
        write_parts(parts, publication.file(f"{job.target.artifact}.parquet"))
        publication.facts["parts"] = len(parts)
    logger().info("scanned %s parts=%d", job.tar.path, len(parts))
    return Outcome(images=0)


def _former_parts(job: ScanJob) -> list[Part]:
    """Return the parts that a tar was cut into before it changed; none if that is not known.

    The table may be there without its record, as where a scan was killed that had replaced it.
    """
    try:
        return read_parts(job.opened().store, f"{job.target.artifact}.parquet")
    except ArtifactDamaged:
        return []


class _Progress:
    """Tells how far a scan is, now and then; a run that was stopped ends it there."""

    def __init__(self, tar: SourceFile) -> None:
        self._tar, self._told, self._stops = tar, -1, Stops()

    def __call__(self, place: int) -> None:
        self._stops.heed()
        if (percent := 100 * place // self._tar.size) > self._told:
            self._told = percent
            at(f"{percent} % of {self._tar.path}")


def section_of(workspace: Workspace, scan: str, part: Part) -> Section:
    """Return a part of a tar with what it must know of the others.

    Args:
        workspace: where the scan lies.
        scan: the artifact that it is.
        part: as it was when the shard was planned.

    Raises:
        StepMissing: the tar is cut otherwise by now.
    """
    across = read_across(workspace.store, f"{scan}.parquet", part)
    if across is None:
        raise StepMissing(
            f"{scan} must cut its tar as it did when this run planned its shards, but another run "
            "has scanned the tar again; run again"
        )
    return Section(part, across)


def require_unchanged(source: Store, tar: SourceFile) -> None:
    """Check that a tar whose parts are read is still the one that was listed.

    Raises:
        StepMissing: it has another size or version.
        FileNotFoundError: it is gone.
    """
    now = source.entry(tar.path)
    if (now.size, now.version) != (tar.size, tar.version):
        raise StepMissing(
            f"{source.address(tar.path)} is read in parts and must stay as it was when this run "
            f"listed it, but it has changed (from {tar.size} to {now.size} bytes); run again when "
            "it is whole, and it is scanned and cut anew"
        )
