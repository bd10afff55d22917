"""Refused and unscored images: a configuration goes in, their names and the reasons come out."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

import pyarrow.compute as pc

from tasks.config import Config, Run
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.operators import fitted
from tasks.io.artifacts.metrics import NO_REFERENCE_GIVEN
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.workspace import dataset_folder
from tasks.shard.dataset import known_catalogue

ShardName = tuple[str, str]
"""A data set and the name of one of its shards."""

NAMED = 5
"""So many images are named in a sentence."""


class LostImage(NamedTuple):
    """An image that was refused, or that has no metrics against the reference."""

    image: str
    """Its path in the corpus where that is known, else its key."""
    dataset: str
    shard: str
    status: Literal["refused", "unscored"]
    reason: str


def list_refused(config: Config, only: Collection[ShardName] | None = None) -> Iterator[LostImage]:
    """Yield the images that were refused, in the order of data sets and shards.

    An image is named once: by the data set that was given, not by those that are made of it. One
    that could not be decoded when patches or features were taken of it, and that is never
    enhanced, is counted in the ledger and has no row that names it.

    Args:
        config: whose data sets and metric tables are read, as far as they are there.
        only: shards to look at; all by default.
    """
    run, known = Run.of(config, still=True), set[tuple[str, str]]()
    origins = config.made_datasets()
    for dataset in config.datasets():
        for found in _refused_at_intake(run, dataset, only):
            origin = origins.get(dataset, dataset)
            if (origin, found.image) not in known:
                known.add((origin, found.image))
                yield found
    yield from _rows_of(run, "refused", only)


def list_unscored(config: Config, only: Collection[ShardName] | None = None) -> Iterator[LostImage]:
    """Yield the images without metrics against the reference; none where no reference is given.

    Args:
        config: whose metric tables are read, as far as they are there.
        only: shards to look at; all by default.
    """
    return _rows_of(Run.of(config, still=True), "unscored", only)


def named(images: Iterable[LostImage], total: int | None = None) -> str:
    """Return the first few images with their reasons in words, and how many more there are.

    Args:
        images: in the order in which they are named; one more is taken than is named.
        total: how many there are; None where that is not known.
    """
    first = [image for _, image in zip(range(NAMED + 1), images, strict=False)]
    words = ", ".join(f"{image.image} ({image.reason})" for image in first[:NAMED])
    if total is None:
        return f"{words} and others" if first[NAMED:] else words
    more = total - len(first[:NAMED])
    return f"{words} and {more} more" if words and more > 0 else words


def _refused_at_intake(
    run: Run, dataset: str, only: Collection[ShardName] | None
) -> Iterator[LostImage]:
    """Yield the refused images that the index of a data set lists."""
    with suppress(StepMissing, ArtifactDamaged):
        survey = run.workspace.ledger.survey(dataset_folder(dataset))
        catalogue = known_catalogue(dataset, survey, run.workspace)  # also where too many were
        if catalogue is None:
            return
        for entry in catalogue.shards:
            if entry.rows == entry.accepted or not _is_meant(dataset, entry.shard, only):
                continue
            table = catalogue.table(entry, ("key", "source", "status", "reason"))
            for row in table.filter(pc.equal(table["status"], "refused")).to_pylist():
                image = row["source"] or row["key"]
                yield LostImage(image, dataset, entry.shard, "refused", row["reason"])


def _rows_of(
    run: Run, status: Literal["refused", "unscored"], only: Collection[ShardName] | None
) -> Iterator[LostImage]:
    """Yield the images with a status in the metric tables of the first signal, which has all."""
    with suppress(StepMissing, ArtifactDamaged):
        ready = fitted(run)
        dataset, signal = run.config.restored_name, signals_to_score(run.config)[0]
        tables = ScoreTables(run.workspace, dataset, ready.results, signal, ())
        made = run.workspace.ledger.survey(tables.folder)
        tables = tables._replace(
            shards=[
                shard
                for shard in run.workspace.shards(dataset)
                if _is_meant(dataset, shard, only) and made.records(f"{tables.folder}/{shard}")
            ]
        )
        columns = ["key", "shard", "status", "reason"]
        for table in tables.read(columns):
            for row in table.filter(pc.equal(table["status"], status)).to_pylist():
                if row["reason"] != NO_REFERENCE_GIVEN:
                    yield LostImage(row["key"], dataset, row["shard"], status, row["reason"])


def _is_meant(dataset: str, shard: str, only: Collection[ShardName] | None) -> bool:
    return only is None or (dataset, shard) in only
