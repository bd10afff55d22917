"""Forget images: take them out of everything that was made of them, for good.

What a shard with such an image holds goes as a whole, and so do operators that it may
have been fitted with and reports that may show it; the next run makes again what is
left, without the image, whatever the corpus still holds.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Config
from tasks.fit.reduce import may_be_fitted_on
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import ConfigurationError
from tasks.io.ledger import fingerprint
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import FORGOTTEN, Workspace, alone, dataset_folder, key_digest
from tasks.shard.dataset import known_catalogue
from tasks.upkeep.waste import KINDS, by_folder, size_of


class Forgotten(NamedTuple):
    """Where the keys were, and how many files of how many bytes went from each folder.

    ``kept`` tells whether the store keeps what was removed as old versions; None if it
    does not say.
    """

    shards: dict[str, list[str]]
    operators: list[str]
    folders: dict[str, tuple[int, int]]
    kept: bool | None


def forget(configs: Iterable[Config], keys: Collection[str], workspace: Workspace) -> Forgotten:
    """Take keys out of a workspace; safe to repeat, also after it was killed.

    Args:
        configs: all that the workspace serves.
        keys: of the images, the same in every data set.
        workspace: where.

    Raises:
        ConfigurationError: no data set holds one of the keys.
        StepMissing: a run is at work.
    """
    with alone(workspace):
        catalogues = dict(_catalogues(workspace))
        places = {key: _places(key, catalogues) for key in keys}
        _remember(places, workspace)
        shards: dict[str, list[str]] = {}
        for found in places.values():
            for dataset, shard, _ in found:
                shards.setdefault(dataset, []).append(shard)
        reach = _Reach(
            {dataset: sorted(set(names)) for dataset, names in shards.items()},
            frozenset(_operators(keys, shards.keys(), configs, workspace)),
            _enhanced(configs, shards.keys()),
        )
        gone = _remove(reach, workspace)
        for dataset in shards:  # last: until then a repetition finds the keys in it
            _rewrite_index(dataset, catalogues[dataset], keys, workspace)
        workspace.store.clear()
    kept = workspace.store.keeps_versions()
    return Forgotten(reach.shards, sorted(reach.operators), by_folder(gone), kept)


class _Reach(NamedTuple):
    """How far keys reach: shards by data set, operators, and data sets that are enhanced."""

    shards: dict[str, list[str]]
    operators: frozenset[str]
    enhanced: frozenset[str]

    def holds(self, path: str) -> bool:
        """Whether an artifact, or a file of one, is made of such a shard or operator."""
        kind, dataset, *rest = path.split("/")
        name, operator = path.rpartition("/")[2].partition(".")[0], (rest or [""])[0]
        if name in self.shards.get(dataset, ()):
            return True
        if f"{dataset}/{operator.partition('.')[0]}" in self.operators:
            return True
        summary = kind == "reports" or (kind == "moments" and name == "selection")
        return summary and dataset in self.enhanced


def _catalogues(workspace: Workspace) -> Iterator[tuple[str, Catalogue]]:
    """What is known of every data set of the workspace, whoever made it."""
    datasets = {
        artifact.split("/")[1] for artifact in workspace.ledger.survey("datasets").artifacts()
    }
    for dataset in sorted(datasets):
        survey = workspace.ledger.survey(dataset_folder(dataset))
        catalogue = known_catalogue(dataset, survey, workspace)
        if catalogue is not None:
            yield dataset, catalogue


def _places(key: str, catalogues: dict[str, Catalogue]) -> list[tuple[str, str, str | None]]:
    """The data sets, shards and foreign tars that hold a key."""
    return [
        (dataset, entry.shard, entry.tar)
        for dataset, catalogue in catalogues.items()
        for entry in catalogue.holding(key)
    ]


def _remember(places: dict[str, list[tuple[str, str, str | None]]], workspace: Workspace) -> None:
    """Have keys not come back, by their digests alone.

    Raises:
        ConfigurationError: one is in no data set, and was in none.
    """
    known = workspace.forgotten()
    for key, found in places.items():
        if not found and key_digest(key) not in known:
            raise ConfigurationError(
                f"a key to forget must be one of a data set of {workspace.url}, got {key!r}; the "
                "column `key` of datasets/<name>/index.parquet has them"
            )
    for key, found in places.items():
        digest = key_digest(key)
        tars = sorted({*known.get(digest, ()), *(tar for _, _, tar in found if tar is not None)})
        workspace.store.write(f"{FORGOTTEN}/{digest}.json", json.dumps(tars).encode())


def _operators(
    keys: Collection[str], held: Collection[str], configs: Iterable[Config], workspace: Workspace
) -> Iterator[str]:
    """Operators that may have been fitted with one of the keys, as ``<name>/<operator>``."""
    enhanced = _enhanced(configs, held) | set(held)
    for record in workspace.ledger.survey("operators").all():
        _, dataset, operator = record.artifact.split("/")
        if dataset in enhanced and may_be_fitted_on(keys, workspace.ledger.facts(record)):
            yield f"{dataset}/{operator}"


def _enhanced(configs: Iterable[Config], held: Collection[str]) -> frozenset[str]:
    """The data sets that are enhanced with the help of these."""
    touched = (config for config in configs if not set(held).isdisjoint(config.datasets()))
    return frozenset({config.restored_name for config in touched} | set(held))


def _remove(reach: _Reach, workspace: Workspace) -> dict[str, int]:
    """Remove all that keys reach; the files and their sizes.

    Files whose records are gone too, as those of a run that was killed or of a repair.
    """
    store, ledger = workspace.store, workspace.ledger
    paths = {path for kind in KINDS for path in store.names(kind) if reach.holds(path)}
    records = [record for record in ledger.survey("").all() if reach.holds(record.artifact)]
    paths |= {path for facts in side_by_side(ledger.facts, records) for path in facts["files"]}
    there = sorted(paths)
    sizes = side_by_side(partial(size_of, store=store), there)
    gone = {path: size for path, size in zip(there, sizes, strict=True) if size is not None}
    ledger.retire(records)
    for _ in side_by_side(store.remove, gone):
        pass
    return gone


def _rewrite_index(
    dataset: str, catalogue: Catalogue, keys: Collection[str], workspace: Workspace
) -> None:
    """Take keys out of an index, which still tells in which shard the other images are.

    Its record has a fingerprint that no plan asks for, so the next run writes it again.
    """
    folder = dataset_folder(dataset)
    mark = fingerprint("forget", {"keys": sorted(map(key_digest, keys))})
    with workspace.ledger.publishing(f"{folder}/index", mark) as publication:
        tables = (
            (entry.shard, entry.tar, table.filter(pc.invert(pc.is_in(table["key"], wanted))))
            for wanted in (pa.array(sorted(keys), pa.string()),)
            for entry in catalogue.shards
            for table in (catalogue.table(entry),)
        )
        write_catalogue(
            tables,
            publication.file(f"{folder}/index.parquet"),
            publication.file(f"{folder}/shards.parquet"),
        )
