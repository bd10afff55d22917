"""What is known of the shards of a data set, whether its index has been written or not."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from tasks.io.artifacts.parquet import opened
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger import Survey
from tasks.io.machine.cores import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.shards import origin_of
from tasks.io.store import temporary_room
from tasks.io.workspace import Workspace, dataset_folder


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
