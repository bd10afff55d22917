"""What there is to look at: the finished shards of a data set, and the versions of its images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import pyarrow as pa

from tasks.config import Config, Run
from tasks.enhance.match import read_matches
from tasks.enhance.signals import input_is_alpha_1, signals_to_score
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.operators import FittedRun, fitted
from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.shards import Member, members_of
from tasks.io.workspace import INPUT, Signal, Workspace, enhanced_folder, metrics_folder

INPUT_NAME, REFERENCE_NAME = "input", "reference"
"""Names of the versions that no alpha made."""

Role = Literal["input", "enhanced", "reference"]


class Version(NamedTuple):
    """One version of every image: as it came, enhanced at a written alpha, or its ground truth."""

    name: str
    """As it is asked for and as votes have it: ``input``, ``reference``, or an alpha, ``+0.50``."""
    label: str
    """As people read it."""
    role: Role
    alpha: float | None
    """Its place on the slider; None where it has none."""
    signal: Signal | None
    """What it is scored as; None where it has no metrics."""


@dataclass(frozen=True, eq=False)
class Viewed:
    """A data set whose shards are finished at every alpha that has been written."""

    run: FittedRun
    versions: Mapping[str, Version]
    """By name; the alphas in their order, then input and reference as far as there are any."""
    shards: Mapping[str, int]
    """How many images each finished shard has, which are the rows of its tables."""
    unfinished: int
    """How many other shards the data set has."""

    @classmethod
    def of(cls, config: Config) -> "Viewed":
        """Look for what a configuration has made so far, once.

        Raises:
            StepMissing: no shard has been enhanced and scored.
        """
        run = fitted(Run.of(config, still=True))
        alphas = {alpha: _finished_at(alpha, run) for alpha in sorted(config.enhance.alphas)}
        written = {alpha: shards for alpha, shards in alphas.items() if shards}
        images = run.workspace.shards(config.restored_name)
        whole = set.intersection(*written.values()) if written else set()
        shards = {shard: count for shard, count in images.items() if shard in whole and count}
        if not shards:
            raise StepMissing(
                "there are no enhanced images to look at yet; run `dotpipe run CONFIG` first"
            )
        versions = {version.name: version for version in _versions(run, tuple(written))}
        return cls(run, versions, shards, sum(map(bool, images.values())) - len(shards))

    @property
    def workspace(self) -> Workspace:
        """Where all of it lies."""
        return self.run.workspace

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self.run.config.restored_name

    @property
    def contenders(self) -> list[str]:
        """The versions that differ: alpha 1 is left out where it is the input."""
        twice = f"{1:+.2f}" if input_is_alpha_1(self.run.config) else ""
        return [name for name in self.versions if name != twice]

    def version(self, name: str) -> Version:
        """Return a version by its name.

        Raises:
            ConfigurationError: there is none of this name.
        """
        if name not in self.versions:
            raise ConfigurationError(
                f"a version must be one of {', '.join(self.versions)}, got {name!r}"
            )
        return self.versions[name]

    def tables(self, version: Version) -> ScoreTables:
        """Return the metric tables of a version, one for each shard in their order.

        Raises:
            ConfigurationError: the version has none.
        """
        if version.signal is None:
            raise ConfigurationError(
                f"a version must be one with metrics to be asked for numbers, got {version.name!r}"
            )
        results = self.run.results
        return ScoreTables(self.workspace, self.dataset, results, version.signal, self.shards)


@lru_cache(maxsize=256)
def score_table(viewed: Viewed, version: Version, shard: str) -> pa.Table:
    """Return the metric table of a shard, a row for each image; the last ones read are kept.

    Raises:
        ArtifactDamaged: it is not there, or not whole.
    """
    folder = viewed.tables(version).folder
    return read_table(viewed.workspace.store, f"{folder}/{shard}.parquet")


@lru_cache(maxsize=64)
def members(viewed: Viewed, version: Version, shard: str) -> Mapping[str, Member]:
    """Return where a version's images of a shard lie, by key; the last ones read are kept.

    Raises:
        ArtifactDamaged: an index is not there, or not whole.
    """
    run, workspace = viewed.run, viewed.workspace
    if version.role == "input":
        found = workspace.members(viewed.dataset, shard)
    elif version.role == "reference":
        reference = str(run.config.reference_name)
        return read_matches(workspace, viewed.dataset, reference, shard)
    else:
        signal = Signal("enhanced", version.alpha)
        folder = enhanced_folder(viewed.dataset, run.results, signal)
        found = members_of(read_table(workspace.store, f"{folder}/{shard}.parquet"), folder)
    return {member.key: member for member in found}


def _finished_at(alpha: float, run: FittedRun) -> set[str]:
    """The shards that have images and metrics at an alpha, as their records tell."""
    signal, dataset = Signal("enhanced", alpha), run.config.restored_name
    folders = (f(dataset, run.results, signal) for f in (enhanced_folder, metrics_folder))
    return set.intersection(*(_recorded(folder, run) for folder in folders))


def _recorded(folder: str, run: FittedRun) -> set[str]:
    survey = run.workspace.ledger.survey(folder)
    return {artifact.rpartition("/")[2] for artifact in survey.artifacts()}


def _versions(run: FittedRun, alphas: tuple[float, ...]) -> Iterator[Version]:
    """Yield the versions that there are; the input has a place on the slider where it is exact."""
    config = run.config
    for alpha in alphas:
        signal = Signal("enhanced", alpha)
        yield Version(f"{alpha:+.2f}", signal.label, "enhanced", alpha, signal)
    place = 1.0 if input_is_alpha_1(config) and 1.0 not in alphas else None
    scored = INPUT if INPUT in signals_to_score(config) else None
    yield Version(INPUT_NAME, "input x*", "input", place, scored)
    if config.reference_name is not None:
        yield Version(REFERENCE_NAME, "reference", "reference", None, None)
