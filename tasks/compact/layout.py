"""How the shards of data sets are to be laid out: which small ones become one, under which name.

Configurations and a workspace go in. What comes out is the same workspace as if its indexes named
the merged shards already, from which the pipeline's own plans say what these must be.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.config import Config
from tasks.io.artifacts.parquet import opened
from tasks.io.catalogue import Catalogue, ShardEntry, write_catalogue
from tasks.io.shards import shard_name
from tasks.io.store import temporary_room
from tasks.io.workspace import Workspace, dataset_folder
from tasks.shard.dataset import gone_shards


class Group(NamedTuple):
    """Small shards that become one."""

    shard: str
    """Name of the one, which no shard has or had."""
    merged: tuple[str, ...]
    """Names of the small ones, in order."""


class Layout(NamedTuple):
    """The shards of a data set as they are to be."""

    groups: tuple[Group, ...]
    shards: Mapping[str, int]
    """How many images each accepts, by name, in order of names."""
    catalogue: Catalogue | None
    """Of these shards; None for a data set that is made by restoring, whose origin has one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the merged shards, in order."""
        return tuple(group.shard for group in self.groups)

    def merged_into(self, shard: str) -> tuple[str, ...]:
        """Return the names of the small shards that become this one; none for any other."""
        return next((group.merged for group in self.groups if group.shard == shard), ())


@dataclass(frozen=True)
class Regrouped(Workspace):
    """A workspace as if the indexes of its data sets named the shards of these layouts."""

    layouts: Mapping[str, Layout] = field(default_factory=dict, compare=False)
    """By the name of the data set; all others are as they are."""

    def catalogue(self, dataset: str) -> Catalogue:
        """Open the catalogue of a data set; errors are those of ``Workspace``."""
        layout = self.layouts.get(dataset)
        found = None if layout is None else layout.catalogue
        return super().catalogue(dataset) if found is None else found

    def shards(self, dataset: str) -> dict[str, int]:
        """Return the shards with rows, and how many images each accepted."""
        layout = self.layouts.get(dataset)
        return super().shards(dataset) if layout is None else dict(layout.shards)


def find_layouts(configs: Sequence[Config], workspace: Workspace, size: int) -> dict[str, Layout]:
    """Return the layouts of all data sets in which small shards are to be merged, by their names.

    Shards of foreign tars stay, and those of data sets that a restorer is trained on; see
    ``tasks.compact.stays``.

    Args:
        configs: all that the workspace serves, each finished.
        workspace: where.
        size: images of a shard.
    """
    layouts, seen = dict[str, Layout](), set(trained_on(configs))
    for config in configs:
        for dataset in config.given_datasets().keys() - seen:
            seen.add(dataset)
            layout = _given(dataset, workspace, size)
            layouts |= {dataset: layout} if layout.groups else {}
    for config in configs:
        for dataset, origin in config.made_datasets().items():
            if dataset in layouts or origin not in layouts:
                continue
            layout = _made(dataset, layouts[origin].groups, workspace)
            layouts |= {dataset: layout} if layout.groups else {}
    return layouts


def trained_on(configs: Iterable[Config]) -> dict[str, str]:
    """Return the data sets that restorers are trained on, each with the name of a configuration.

    A training draws images by their numbers, shard after shard, and its checkpoints bear the digest
    of the index: with other shards it would have to begin anew.
    """
    return {
        dataset: config.name
        for config in configs
        if config.clean_name is not None
        for dataset in (config.clean_name, config.degraded_name)
        if dataset is not None
    }


def small_shards(catalogue: Catalogue, size: int) -> list[ShardEntry]:
    """Return the small shards of a data set, in order.

    A shard is small if it has at most half the images of a full one, so that no image is copied
    by many compactions.

    Args:
        catalogue: of the data set.
        size: images of a full shard, refused ones included.
    """
    return sorted(entry for entry in catalogue.shards if 0 < entry.rows <= size // 2)


def holds_odd_name(catalogue: Catalogue) -> set[str]:
    """Return the shards that hold a file whose name was refused, as it cannot be sorted."""
    return {shard for _, shard in catalogue.odd()}


def groups_of(catalogue: Catalogue, size: int, names: Iterator[str]) -> tuple[Group, ...]:
    """Return which shards become one: small ones in their order, as many as fill a shard.

    Those of foreign tars become none, nor those with names that cannot be sorted.

    Args:
        catalogue: of the data set.
        size: images of a full shard, refused ones included.
        names: for the merged shards.
    """
    odd = holds_odd_name(catalogue)
    groups, rows = [list[str]()], 0
    for entry in small_shards(catalogue, size):
        if entry.tar is not None or entry.shard in odd:
            continue
        if rows + entry.rows > size:
            groups.append([])
            rows = 0
        groups[-1].append(entry.shard)
        rows += entry.rows
    return tuple(Group(next(names), tuple(group)) for group in groups if len(group) > 1)


def in_order_of_keys(table: pa.Table, *more: str) -> pa.Table:
    """Return the rows of a table by their keys, and by further columns of text."""
    columns = [table[name].to_pylist() for name in ("key", *more)]
    order = sorted(range(table.num_rows), key=lambda row: [column[row] for column in columns])
    return table.take(pa.array(order, pa.int64())).combine_chunks()


def _given(dataset: str, workspace: Workspace, size: int) -> Layout:
    """Return the layout of a data set whose images are given as files."""
    catalogue = workspace.catalogue(dataset)
    gone = gone_shards(dataset, workspace.ledger.survey(dataset_folder(dataset)), workspace)
    groups = groups_of(catalogue, size, _names_after({e.shard for e in catalogue.shards} | gone))
    if not groups:
        return Layout((), {}, None)
    regrouped = _regrouped(catalogue, groups)
    shards = {entry.shard: entry.accepted for entry in regrouped.shards if entry.rows}
    return Layout(groups, shards, regrouped)


def _names_after(taken: Iterable[str]) -> Iterator[str]:
    """Yield names for new shards that come after all others, in order.

    So an index that is lost while this goes on, and that is made again from the shards, is one of
    the small ones: of two shards that hold a file, the first is taken.
    """
    numbers = [int(name.rpartition("-")[2]) for name in taken]
    return map(shard_name, count(max(numbers, default=-1) + 1))


def _regrouped(catalogue: Catalogue, groups: Sequence[Group]) -> Catalogue:
    """Return the catalogue of the shards as they are to be, whose rows tell no places in tars."""
    entries = {entry.shard: entry for entry in catalogue.shards}
    small = {shard for group in groups for shard in group.merged}

    def tables() -> Iterator[tuple[str, str | None, pa.Table]]:
        for entry in catalogue.shards:
            if entry.shard not in small:
                yield entry.shard, entry.tar, catalogue.table(entry)
        for group in groups:
            yield group.shard, None, _rows_of(catalogue, group, entries)

    with temporary_room(), tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.parquet"
        written = write_catalogue(tables(), index, Path(folder) / "shards.parquet")
        return Catalogue(opened(index), written)  # open, so it is read after the folder is gone


def _rows_of(catalogue: Catalogue, group: Group, entries: Mapping[str, ShardEntry]) -> pa.Table:
    table = pa.concat_tables(catalogue.table(entries[shard]) for shard in group.merged)
    place = table.column_names.index("shard")
    named = table.set_column(place, table.field(place), [[group.shard] * table.num_rows])
    return in_order_of_keys(named, "source")


def _made(dataset: str, groups: Iterable[Group], workspace: Workspace) -> Layout:
    """Return the layout of a data set that is made by restoring another, with its groups.

    Args:
        dataset: its name.
        groups: of the origin, not all of whose shards need be restored.
        workspace: where.
    """
    before = workspace.shards(dataset)
    here = [Group(g.shard, tuple(s for s in g.merged if s in before)) for g in groups]
    here = [group for group in here if group.merged]
    small = {shard for group in here for shard in group.merged}
    shards = {shard: images for shard, images in before.items() if shard not in small}
    shards |= {group.shard: sum(before[shard] for shard in group.merged) for group in here}
    return Layout(tuple(here), shards, None)
