"""Forget images: take them out of everything that was made of them, for good.

Keys go in; what comes out says where they were, and what was removed. A shard that holds a
forgotten image is removed as a whole, and so are operators that it may have been fitted with
and reports that may show it. The next run makes again what is left, without the image,
whatever the corpus still holds.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Config
from tasks.config.registry import registered
from tasks.fit.reduce import may_be_fitted_on
from tasks.fit.select import SELECTION
from tasks.io.catalogue import Catalogue, write_catalogue
from tasks.io.errors import ConfigurationError
from tasks.io.ledger import fingerprint
from tasks.io.letters import compose
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import (
    FORGOTTEN,
    KINDS,
    LOGS,
    SUMS,
    Workspace,
    alone,
    dataset_folder,
    key_digest,
    key_of_file,
    operator_of,
    require_no_compaction,
)
from tasks.shard.dataset import gone_shards, known_catalogue
from tasks.upkeep.cleaning.removal import by_folder, remove_files, sizes_of
from tasks.view.votes import forget_votes


class Forgotten(NamedTuple):
    """Where the forgotten keys were, and what was removed because of them."""

    shards: dict[str, list[str]]
    """Names of the shards that held them, by data set."""
    operators: list[str]
    """Operators that may have been fitted with them, as ``<data set>/<operator>``."""
    folders: dict[str, tuple[int, int]]
    """How many files of how many bytes were removed from each folder."""
    kept: bool | None
    """Whether the store keeps old versions of removed files; None if it does not say."""


class _Holder(NamedTuple):
    """A shard that was offered an image with a certain key, accepted or not."""

    dataset: str
    shard: str
    tar: str | None
    """The foreign tar that the shard was made from, if it was."""


class _Reach(NamedTuple):
    """The shards, operators and data sets that some keys have gone into."""

    keys: frozenset[str]
    shards: dict[str, list[str]]
    """Names of the shards that hold them, by data set, in order."""
    operators: frozenset[str]
    """Operators that may have been fitted with them, as ``<data set>/<operator>``."""
    enhanced: frozenset[str]
    """Data sets that hold them, or that are enhanced with the help of one that does."""
    restored: frozenset[str]
    """Data sets whose restorer is trained on one that holds them."""

    def holds(self, path: str) -> bool:
        """Return whether an artifact, or a file of one, is made of such a shard or operator.

        Args:
            path: below the workspace: ``<kind>/<data set>``, and mostly parts below these.
        """
        kind, dataset, *below = path.split("/")
        if kind == "restorers":
            return dataset in self.restored
        if (key := key_of_file(path)) is not None:
            return key in self.keys or f"{dataset}/{operator_of(below[0])}" in self.operators
        name = _without_ending(path.rpartition("/")[2])
        made_with = operator_of(_without_ending(below[0])) if below else ""
        if name in self.shards.get(dataset, ()) or f"{dataset}/{made_with}" in self.operators:
            return True
        chosen = kind == "moments" and name.startswith(SELECTION)
        return (chosen or kind == "reports" or SUMS in below) and dataset in self.enhanced


def forget(configs: Iterable[Config], keys: Collection[str], workspace: Workspace) -> Forgotten:
    """Take keys out of a workspace; safe to repeat, also after it was killed.

    Args:
        configs: that the workspace serves; others that were run there count as well.
        keys: of the images; the same key is forgotten in every data set.
        workspace: where.

    Raises:
        ConfigurationError: no data set holds one of the keys.
        StepMissing: a run is at work on the workspace, or a compaction was cut short.
    """
    with alone(workspace):
        require_no_compaction(workspace)
        catalogues = _catalogues(workspace)
        holders = {key: _holders(key, catalogues) for key in _as_held(keys, catalogues)}
        _remember(holders, workspace)
        reach = _reach_of(holders, chain(configs, registered(workspace.store)), workspace)
        removed = _remove(reach, workspace)
        forget_votes(workspace.store, holders)
        for dataset in reach.shards:  # last: until then a repetition finds the keys in it
            _rewrite_index(dataset, catalogues[dataset], holders.keys(), workspace)
        workspace.store.clear()
    kept = workspace.store.keeps_versions()
    return Forgotten(reach.shards, sorted(reach.operators), by_folder(removed), kept)


def _catalogues(workspace: Workspace) -> dict[str, Catalogue]:
    """Return the catalogue of every data set of the workspace that has shards, by name."""
    artifacts = workspace.ledger.survey("datasets").artifacts()
    catalogues: dict[str, Catalogue] = {}
    for dataset in sorted({artifact.split("/")[1] for artifact in artifacts}):
        survey = workspace.ledger.survey(dataset_folder(dataset))
        if (catalogue := known_catalogue(dataset, survey, workspace)) is not None:
            catalogues[dataset] = catalogue
    return catalogues


def _as_held(keys: Iterable[str], catalogues: Mapping[str, Catalogue]) -> list[str]:
    """Return keys in the form of their letters, as given or composed, in which they are held.

    Those that are held in neither form stay as given.
    """
    forms = {key: dict.fromkeys((key, compose(key))) for key in keys}
    held = {key: [form for form in forms[key] if _holders(form, catalogues)] for key in forms}
    return list(dict.fromkeys(form for key in forms for form in held[key] or [key]))


def _holders(key: str, catalogues: Mapping[str, Catalogue]) -> list[_Holder]:
    return [
        _Holder(dataset, entry.shard, entry.tar)
        for dataset, catalogue in catalogues.items()
        for entry in catalogue.holding(key)
    ]


def _remember(holders: Mapping[str, Collection[_Holder]], workspace: Workspace) -> None:
    """Write down that keys must not come back: their digests, with the tars that held them.

    Raises:
        ConfigurationError: a key is in no data set, and was in none.
    """
    known = workspace.forgotten()
    for key, found in holders.items():
        if not found and key_digest(key) not in known:
            raise ConfigurationError(
                f"a key to forget must be one of a data set of {workspace.url}, got {key!r}; the "
                "column `key` of datasets/<name>/index.parquet has them"
            )
    for key, found in holders.items():
        digest = key_digest(key)
        tars = {holder.tar for holder in found if holder.tar is not None}
        text = json.dumps(sorted(tars.union(known.get(digest, ()))))
        workspace.store.write(f"{FORGOTTEN}/{digest}.json", text.encode())


def _reach_of(
    holders: Mapping[str, Collection[_Holder]], configs: Iterable[Config], workspace: Workspace
) -> _Reach:
    """Return what keys have gone into, from the shards that hold each of them."""
    shards: dict[str, set[str]] = {}
    for holder in chain.from_iterable(holders.values()):
        shards.setdefault(holder.dataset, set()).add(holder.shard)
    known = list(configs)
    enhanced = _enhanced(known, shards.keys())
    trained = (c for c in known if {c.clean_name, c.degraded_name} & shards.keys() and c.clean_name)
    return _Reach(
        frozenset(holders),
        {dataset: sorted(names) for dataset, names in shards.items()},
        frozenset(_operators(holders.keys(), enhanced, workspace)),
        enhanced,
        frozenset(config.restored_name for config in trained),
    )


def _enhanced(configs: Iterable[Config], held: Collection[str]) -> frozenset[str]:
    """Return these data sets, and those that are enhanced with the help of one of them."""
    touched = (config for config in configs if not set(held).isdisjoint(config.datasets()))
    return frozenset({config.restored_name for config in touched} | set(held))


def _operators(
    keys: Collection[str], enhanced: Collection[str], workspace: Workspace
) -> Iterator[str]:
    """Yield the operators of data sets that may have been fitted with one of the keys."""
    for record in workspace.ledger.survey("operators").all():
        _, dataset, operator = record.artifact.split("/")
        if dataset in enhanced and may_be_fitted_on(keys, workspace.ledger.facts(record)):
            yield f"{dataset}/{operator_of(operator)}"


def _remove(reach: _Reach, workspace: Workspace) -> dict[str, int]:
    """Remove all that keys have gone into; return the sizes of the files in bytes, by path.

    Files without a record go too, such as those of a run that was killed or of a repair, and all
    logs, any of which may name a key.
    """
    store, ledger = workspace.store, workspace.ledger
    paths = {path for kind in KINDS for path in store.names(kind) if reach.holds(path)}
    paths.update(store.names(LOGS))
    records = [record for record in ledger.survey("").all() if reach.holds(record.artifact)]
    for facts in side_by_side(ledger.facts, records):
        paths.update(facts["files"])
    sizes = sizes_of(sorted(paths), store)
    ledger.retire(records)
    remove_files(sizes, store)
    return sizes


def _rewrite_index(
    dataset: str, catalogue: Catalogue, keys: Collection[str], workspace: Workspace
) -> None:
    """Take keys out of an index, which still tells in which shard the other images are.

    Its record has a fingerprint that no plan asks for, so the next run writes it again.
    """
    folder, forgotten = dataset_folder(dataset), pa.array(sorted(keys), pa.string())
    gone = gone_shards(dataset, workspace.ledger.survey(folder), workspace)
    mark = fingerprint("forget", {"keys": sorted(map(key_digest, keys))})
    tables = (
        (entry.shard, entry.tar, rows.filter(pc.invert(pc.is_in(rows["key"], forgotten))))
        for entry, rows in ((entry, catalogue.table(entry)) for entry in catalogue.shards)
    )
    with workspace.ledger.publishing(f"{folder}/index", mark) as publication:
        index, shards = (
            publication.file(f"{folder}/{name}.parquet") for name in ("index", "shards")
        )
        write_catalogue(tables, index, shards)
        publication.facts["gone"] = sorted(gone)


def _without_ending(name: str) -> str:
    return name.partition(".")[0]
