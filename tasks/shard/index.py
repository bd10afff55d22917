"""Index a data set: one catalogue of all its shards."""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from prefect import task

from tasks.config import Run
from tasks.io.artifacts.parquet import opened
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import ArtifactDamaged, CorpusError, StepMissing
from tasks.io.ledger import Survey, digest_of
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.shards import origin_of
from tasks.io.store import temporary_room
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Outcome, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY
from tasks.shard.bad_images import refused_in, require_few_bad


class IndexJob(Job):
    """Merge the indexes of a data set's shards."""

    target: Target
    dataset: str
    shards: tuple[str, ...]
    gone: tuple[str, ...]
    """Shards that it had, and that are to be retired."""
    content: str
    max_bad_fraction: float


@task(name="index", task_run_name="index {job.dataset}", **SHARD_POLICY)
def index_dataset(job: IndexJob) -> None:
    """Write the index of a data set."""
    settle(job, write_index)


def plan_index(run: Run, dataset: str, shards: Mapping[str, str]) -> IndexJob | None:
    """The index over these shards, which must be finished; None if it is there.

    Args:
        run: of which configuration.
        dataset: its name.
        shards: fingerprints by name, as the shards were planned.

    Raises:
        CorpusError: there are none.
        StepMissing: one is not finished, or another run has made it from something else.
    """
    folder = dataset_folder(dataset)
    survey = run.workspace.ledger.survey(folder)
    wanted = {f"{folder}/{shard}": shard for shard in sorted(shards)}
    if not wanted:
        raise CorpusError(
            f"{dataset} must hold at least one image, got none: all were refused; the column "
            "`reason` of the index that it is made from says why"
        )
    digests = {artifact: _digest(survey, artifact, shards[wanted[artifact]]) for artifact in wanted}
    inputs = {"shards": digests, "max_bad_fraction": run.config.shards.max_bad_fraction}
    target = aim(survey, f"{folder}/index", "index", inputs)
    if target is None:
        return None
    return IndexJob(
        workspace=run.workspace.url,
        target=target,
        dataset=dataset,
        shards=tuple(wanted.values()),
        gone=tuple(_gone(dataset, set(wanted.values()), run.workspace)),
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
    refused, images = Counter[str](), 0

    def counted() -> Iterator[tuple[str, str | None, pa.Table]]:
        nonlocal images
        for shard, tar, table in shard_tables(job.dataset, job.shards, workspace):
            images += table.num_rows
            refused.update(refused_in(table))
            yield shard, tar, table

    with publishing(workspace, job.target) as publication:
        path = publication.file(f"{folder}/index.parquet")
        entries = write_catalogue(counted(), path, publication.file(f"{folder}/shards.parquet"))
        survey = workspace.ledger.survey(folder)
        found = {
            f"{folder}/{name}": finished_digest(survey, f"{folder}/{name}") for name in job.shards
        }
        if digest_of(found) != job.content:
            raise StepMissing(_changed(folder))
        _require_unique(job.dataset, Catalogue(opened(path), entries))
        require_few_bad(job.dataset, images, refused, job.max_bad_fraction)
        outcome = Outcome(images=images, refused=dict(refused))
        publication.facts |= outcome.facts() | {"gone": job.gone}
        publication.digest = job.content
    return outcome


def _gone(dataset: str, shards: Collection[str], workspace: Workspace) -> list[str]:
    """Shards that were known and are no more, and those that are still to be retired."""
    survey = workspace.ledger.survey(dataset_folder(dataset))
    catalogue = known_catalogue(dataset, survey, workspace)
    before = {entry.shard for entry in catalogue.shards} if catalogue is not None else set[str]()
    return sorted((before | gone_shards(dataset, survey, workspace)).difference(shards))


def _digest(survey: Survey, artifact: str, fingerprint: str) -> str:
    """The digest of a shard, made from just these inputs."""
    finished_digest(survey, artifact)
    digest = survey.digest(artifact, fingerprint)
    if digest is None:
        raise StepMissing(_changed(artifact))
    return digest


def _changed(what: str) -> str:
    return (
        f"{what} must be as this run planned it, but another run is changing the data set, from "
        "other images or options; run again when it has ended"
    )


def _require_unique(dataset: str, catalogue: Catalogue) -> None:
    """Check that tars share no key; files of a folder were checked when they were listed."""
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


def known_catalogue(dataset: str, survey: Survey, workspace: Workspace) -> Catalogue | None:
    """What is known of the shards of a data set, None if there are none.

    That is in its index, unless the ledger does not vouch for it: a run was killed before
    it was written, or it was found to be damaged. The shards have it too.

    Args:
        dataset: its name.
        survey: of the records of its folder.
        workspace: where.
    """
    folder = dataset_folder(dataset)
    if survey.records(f"{folder}/index"):
        try:
            return workspace.catalogue(dataset)
        except (StepMissing, ArtifactDamaged):
            pass  # gone, damaged, or an older version's
    own = (artifact.removeprefix(f"{folder}/") for artifact in survey.artifacts())
    shards = [name for name in own if name.startswith("shard-")]  # not those of its matches
    return _gathered(dataset, shards, workspace) if shards else None


def gone_shards(dataset: str, survey: Survey, workspace: Workspace) -> set[str]:
    """The shards that a data set had and has no more, as its index says.

    What was made of them is removed by whichever run comes to it, so their names are not
    given to others.

    Raises:
        StepMissing: the index is being written in this moment.
    """
    gone = set[str]()
    for record in survey.records(f"{dataset_folder(dataset)}/index"):
        try:
            gone |= set(workspace.ledger.facts(record).get("gone", ()))
        except FileNotFoundError as error:
            raise StepMissing(
                f"the index of {dataset!r} must stay while shards are planned, but another run "
                "is writing it; run again"
            ) from error
    return gone


def _gathered(dataset: str, shards: Sequence[str], workspace: Workspace) -> Catalogue:
    """The catalogue of these shards, for this process alone.

    Raises:
        ArtifactDamaged: a shard is not there, though the ledger says so.
    """
    with (
        temporary_room(),
        tempfile.TemporaryDirectory() as folder,
    ):  # open files outlive their names
        index = Path(folder) / "index.parquet"
        try:
            tables = shard_tables(dataset, shards, workspace)
            entries = write_catalogue(tables, index, Path(folder) / "shards.parquet")
        except FileNotFoundError as error:
            raise ArtifactDamaged(
                f"the shards of {dataset} must be there, as the ledger says, but one is not: "
                f"{error}; run `dotpipe repair CONFIG`"
            ) from error
        return Catalogue(opened(index), entries)


def shard_tables(
    dataset: str, shards: Iterable[str], workspace: Workspace
) -> Iterator[tuple[str, str | None, pa.Table]]:
    """Name, foreign tar and rows of shards, in the given order; read ahead by threads."""

    def read(shard: str) -> tuple[str, str | None, pa.Table]:
        table = workspace.shard_index(dataset, shard)
        return shard, origin_of(table), table

    with ThreadPoolExecutor(cores()) as pool:
        yield from ordered_map(pool, read, shards, ahead=4 * cores())
