"""Forget images: take them out of everything that was made of them, for good.

What a shard with such an image holds goes as a whole, and so do operators that it may
have been fitted with and reports that may show it; the next run makes again what is
left, without the image, whatever the corpus still holds.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow.compute as pc

from tasks.config import Config
from tasks.corpus import key_digest
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.ledger import Record, fingerprint
from tasks.io.shard_list import write_catalogue
from tasks.io.workspace import FORGOTTEN, Workspace, dataset_folder
from tasks.reduce import find_operator
from tasks.select import plan_selection, read_selection
from tasks.waste import by_folder


class Forgotten(NamedTuple):
    """Where a key was, and how many files of how many bytes went with it from each folder."""

    shards: dict[str, list[str]]
    operators: list[str]
    folders: dict[str, tuple[int, int]]


def forget(configs: Iterable[Config], key: str, workspace: Workspace) -> Forgotten:
    """Take a key out of a workspace; safe to repeat.

    Args:
        configs: all that the workspace serves.
        key: of the image, the same in every data set.
        workspace: where.

    Raises:
        ConfigurationError: no data set holds the key.
    """
    configs = list(configs)
    shards, tars = _places(configs, key, workspace)
    known = workspace.forgotten()
    digest = key_digest(key)
    if not shards and digest not in known:
        raise ConfigurationError(
            f"a key to forget must be one of a data set of {workspace.url}, got {key!r}; the "
            "column `key` of datasets/<name>/index.parquet has them"
        )
    known[digest] = sorted({*known.get(digest, []), *tars})
    workspace.store.write(FORGOTTEN, json.dumps(known, indent=1, sort_keys=True).encode())
    touched = [config for config in configs if not shards.keys().isdisjoint(config.datasets())]
    reach = _Reach(shards, frozenset(_operators(touched, key, workspace)), _choices(touched))
    gone = [record for record in workspace.ledger.survey("").all() if reach.holds(record)]
    files = {
        path: facts["size"]
        for record in gone
        for path, facts in workspace.ledger.facts(record)["files"].items()
    }
    for dataset in shards:
        _rewrite_index(dataset, key, workspace)
    workspace.ledger.retire(sorted(gone))
    return Forgotten(shards, sorted(reach.operators), by_folder(files))


class _Reach(NamedTuple):
    """How far a key reaches: shards by data set, operators, and data sets that are enhanced."""

    shards: dict[str, list[str]]
    operators: frozenset[str]
    enhanced: frozenset[str]

    def holds(self, record: Record) -> bool:
        """Whether an artifact was made of a shard with the key, or by such an operator."""
        kind, dataset, *_ = parts = record.artifact.split("/")
        if "/".join(parts[1:3]) in self.operators or parts[-1] in self.shards.get(dataset, ()):
            return True
        summary = kind == "reports" or record.artifact == f"moments/{dataset}/selection"
        return summary and dataset in self.enhanced


def _places(
    configs: Iterable[Config], key: str, workspace: Workspace
) -> tuple[dict[str, list[str]], set[str]]:
    """The shards of each data set that hold a key, and the foreign tars that do."""
    shards, tars = dict[str, list[str]](), set[str]()
    for dataset in sorted({name for config in configs for name in config.datasets()}):
        try:
            entries = workspace.catalogue(dataset).holding(key)
        except StepMissing:
            continue
        if entries:
            shards[dataset] = [entry.shard for entry in entries]
            tars |= {entry.tar for entry in entries if entry.tar is not None}
    return shards, tars


def _rewrite_index(dataset: str, key: str, workspace: Workspace) -> None:
    """Take a key out of an index, which still tells in which shard the other images are.

    Its record has a fingerprint that no plan asks for, so the next run writes it again.
    """
    folder, catalogue = dataset_folder(dataset), workspace.catalogue(dataset)
    mark = fingerprint("forget", {"key": key_digest(key)})
    with workspace.ledger.publishing(f"{folder}/index", mark) as publication:
        tables = (
            (entry.shard, entry.tar, table.filter(pc.not_equal(table["key"], key)))
            for entry in catalogue.shards
            for table in (catalogue.table(entry),)
        )
        write_catalogue(
            tables,
            publication.file(f"{folder}/index.parquet"),
            publication.file(f"{folder}/shards.parquet"),
        )


def _choices(configs: Iterable[Config]) -> frozenset[str]:
    """The data sets whose reports, and whose choice of images for the fit, may tell of a key."""
    return frozenset(config.restored_name for config in configs)


def _operators(configs: Iterable[Config], key: str, workspace: Workspace) -> Iterator[str]:
    """Operators that may have been fitted with a key, as ``<name>/<operator>``.

    All of a data set but those that a configuration has now, chosen without the key.
    """
    made, safe = set[str](), set[str]()
    for config in configs:
        folder = f"operators/{config.restored_name}"
        made |= {
            name.removeprefix("operators/") for name in workspace.ledger.survey(folder).artifacts()
        }
        if (name := _fitted_without(config, key, workspace)) is not None:
            safe.add(f"{config.restored_name}/{name}")
    yield from made - safe


def _fitted_without(config: Config, key: str, workspace: Workspace) -> str | None:
    """The operator of a configuration, if it is known that the key had no part in it."""
    try:
        operator = find_operator(config, workspace)
        artifact, _ = plan_selection(config, workspace)
        selection = read_selection(workspace, artifact)
    except (StepMissing, FileNotFoundError):
        return None
    sides = (*selection.source.values(), *selection.target.values())
    return None if any(key in keys for keys in sides) else operator.name
