"""What shards a data set has, and which it had before: from its index, or from the shards.

The name of a data set and the ledger's records of its folder go in. What comes out is what
the planning of its next shards, and the clean-ups, start from.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from tasks.io.artifacts.parquet import opened
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger import Survey
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.shards import origin_of
from tasks.io.store import temporary_room
from tasks.io.workspace import Workspace, dataset_folder

_PAUSE_S = 1.0
"""Seconds between two looks at an index that another run is writing."""


def known_catalogue(dataset: str, survey: Survey, workspace: Workspace) -> Catalogue | None:
    """Return the catalogue of the shards that a data set has; None if it has none.

    The index holds it. Where the index has no record, as after a run that was killed before
    it was written, or is damaged, the catalogue is gathered from the shards themselves.

    Args:
        dataset: its name.
        survey: of the records of its folder.
        workspace: where it lies.

    Raises:
        ArtifactDamaged: a shard has a record, and is not there.
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
    """Return the names of the shards that a data set had and has no more, as its index says.

    The next run that comes to them removes what was made of them. Until then, and after it,
    new shards get other names. Where another run writes the index meanwhile, this waits for it.

    Args:
        dataset: its name.
        survey: of the records of its folder.
        workspace: where it lies.

    Raises:
        FileNotFoundError: the record of the index is listed, and cannot be read.
    """
    index = f"{dataset_folder(dataset)}/index"
    records = survey.records(index)
    while True:
        try:
            facts = [workspace.ledger.facts(record) for record in records]
        except FileNotFoundError:
            while workspace.claims.is_alive(index):
                time.sleep(_PAUSE_S)
            listed, records = records, workspace.ledger.records(index)
            if records == listed:  # nobody has written another, so it is lost
                raise
        else:
            return {shard for each in facts for shard in each.get("gone", ())}


def shard_tables(
    dataset: str, shards: Iterable[str], workspace: Workspace
) -> Iterator[tuple[str, str | None, pa.Table]]:
    """Yield of every shard, in the given order, its name, its foreign tar, and its index's rows.

    Threads read ahead of the caller. The tar is None for a shard of image files.

    Raises:
        FileNotFoundError: a shard is not there.
    """

    def read(shard: str) -> tuple[str, str | None, pa.Table]:
        table = workspace.shard_index(dataset, shard)
        return shard, origin_of(table), table

    with ThreadPoolExecutor(cores()) as pool:
        yield from ordered_map(pool, read, shards, ahead=4 * cores())


def _gathered(dataset: str, shards: Sequence[str], workspace: Workspace) -> Catalogue:
    """Return the catalogue of these shards, written to a temporary file of this process.

    Raises:
        ArtifactDamaged: a shard has a record, and is not there.
    """
    # The folder goes at the end of the block, but the index stays readable: it is open.
    with temporary_room(), tempfile.TemporaryDirectory() as folder:
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
