"""Index a data set: the indexes of its finished shards go in, one catalogue of all comes out."""

from collections import Counter
from collections.abc import Collection, Mapping

from prefect import task

from tasks.config import Run
from tasks.io.artifacts.parquet import opened
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.ledger import Survey, digest_of
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Outcome, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY
from tasks.shard.bad_images import refused_in, require_few_bad
from tasks.shard.dataset import gone_shards, known_catalogue, shard_tables


class IndexJob(Job):
    """Merge the indexes of a data set's shards."""

    target: Target
    dataset: str
    shards: tuple[str, ...]
    """Names of all its shards, in order."""
    gone: tuple[str, ...]
    """Names of shards that it had, and that are to be retired."""
    content: str
    """Digest of the digests of all shards, which they must still have when this is written."""
    max_bad_fraction: float
    """Share of the images, in [0, 1], that may be refused."""


@task(name="index", task_run_name="index {job.dataset}", **SHARD_POLICY)
def index_dataset(job: IndexJob) -> None:
    """Write the index of a data set, unless another run has; safe to repeat."""
    settle(job, write_index)


def plan_index(run: Run, dataset: str, shards: Mapping[str, str]) -> IndexJob | None:
    """Return the job that writes the index over these shards; None if it is there.

    Args:
        run: the configuration and its workspace.
        dataset: name of the data set.
        shards: fingerprints by name, as the shards were planned; all of them are finished.

    Raises:
        CorpusError: there are no shards.
        StepMissing: one is not finished, or another run has made it from something else.
    """
    folder = dataset_folder(dataset)
    survey = run.workspace.ledger.survey(folder)
    names = sorted(shards)
    if not names:
        raise CorpusError(
            f"{dataset} must hold at least one image, got none: all were refused; the column "
            "`reason` of the index that it is made from says why"
        )
    digests = {
        f"{folder}/{name}": _digest(survey, f"{folder}/{name}", shards[name]) for name in names
    }
    inputs = {"shards": digests, "max_bad_fraction": run.config.shards.max_bad_fraction}
    target = aim(survey, f"{folder}/index", "index", inputs)
    if target is None:
        return None
    return IndexJob(
        workspace=run.workspace.url,
        target=target,
        dataset=dataset,
        shards=tuple(names),
        gone=tuple(_gone(dataset, names, run.workspace)),
        content=digest_of(digests),
        max_bad_fraction=run.config.shards.max_bad_fraction,
    )


def write_index(job: IndexJob) -> Outcome:
    """Merge the shards' indexes, a row group a shard, and list the shards beside it.

    Raises:
        TooManyBadImages: more was refused than the configuration allows.
        CorpusError: two tars hold the same key.
        StepMissing: another run has changed the shards since this was planned.
    """
    workspace, folder = job.opened(), dataset_folder(job.dataset)
    with publishing(workspace, job.target) as publication:
        path = publication.file(f"{folder}/index.parquet")
        tables = shard_tables(job.dataset, job.shards, workspace)
        entries = write_catalogue(tables, path, publication.file(f"{folder}/shards.parquet"))
        _require_unchanged(job, workspace)
        catalogue = Catalogue(opened(path), entries)
        _require_unique(job.dataset, catalogue)
        outcome = Outcome(images=sum(entry.rows for entry in entries), refused=_refused(catalogue))
        require_few_bad(job.dataset, outcome.images, outcome.refused, job.max_bad_fraction)
        publication.facts |= outcome.facts() | {"gone": job.gone}
        publication.digest = job.content
    return outcome


def _gone(dataset: str, shards: Collection[str], workspace: Workspace) -> list[str]:
    """Return the shards that the data set had and that are not among these, in order.

    That is those of its last index, and those that were gone then and may not be retired yet.
    """
    survey = workspace.ledger.survey(dataset_folder(dataset))
    catalogue = known_catalogue(dataset, survey, workspace)
    before = {entry.shard for entry in catalogue.shards} if catalogue is not None else set[str]()
    return sorted((before | gone_shards(dataset, survey, workspace)).difference(shards))


def _digest(survey: Survey, artifact: str, fingerprint: str) -> str:
    """Return the digest of a shard.

    Raises:
        StepMissing: it is not finished, or was made from other inputs.
    """
    finished_digest(survey, artifact)
    digest = survey.digest(artifact, fingerprint)
    if digest is None:
        raise StepMissing(_changed(artifact))
    return digest


def _require_unchanged(job: IndexJob, workspace: Workspace) -> None:
    """Check that the shards are still those that the index was planned over.

    Raises:
        StepMissing: another run has changed one.
    """
    folder = dataset_folder(job.dataset)
    survey = workspace.ledger.survey(folder)
    artifacts = [f"{folder}/{name}" for name in job.shards]
    digests = {artifact: finished_digest(survey, artifact) for artifact in artifacts}
    if digest_of(digests) != job.content:
        raise StepMissing(_changed(folder))


def _changed(what: str) -> str:
    return (
        f"{what} must be as this run planned it, but another run is changing the data set, from "
        "other images or options; run again when it has ended"
    )


def _refused(catalogue: Catalogue) -> Counter[str]:
    """Return how many images were refused, by kind of reason."""
    refused = Counter[str]()
    for entry in catalogue.shards:
        if entry.accepted < entry.rows:
            refused.update(refused_in(catalogue.table(entry, ("status", "reason"))))
    return refused


def _require_unique(dataset: str, catalogue: Catalogue) -> None:
    """Check that tars share no key; files of a folder were checked when they were listed.

    Raises:
        CorpusError: two do.
    """
    tars = {entry.shard: entry.tar for entry in catalogue.shards if entry.tar is not None}
    previous = None
    for place in catalogue.keys() if tars else ():
        if previous is not None and previous.key == place.key:
            both = " and ".join(str(tars.get(each.shard)) for each in (previous, place))
            raise CorpusError(
                f"keys must differ over all tars of {dataset}, got {place.key!r} in {both}; "
                "give the members names of their own"
            )
        previous = place
