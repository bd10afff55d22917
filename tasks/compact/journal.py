"""The journal of a compaction: what is left to do once the indexes begin to name merged shards.

Before that, merged shards are in no index, and whatever ends a compaction leaves the data sets as
they were; the journal names these shards, which the next compaction removes. From then on the rest
is in the journal, so that the next compaction ends it. A run that comes first ends it too, and
reads tables again for numbers that this would copy.
"""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.config import Config
from tasks.io.artifacts.metric_registry import METRICS
from tasks.io.ledger import VERSIONS, digest_of
from tasks.io.store import Store
from tasks.io.workspace import COMPACTING, Workspace, dataset_folder
from tasks.shard.index import IndexJob


class IndexChange(BaseModel):
    """An index that is to name merged shards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: str
    """Fingerprint of the index that it takes the place of."""
    job: IndexJob

    def state(self, workspace: Workspace) -> Literal["before", "begun", "done", "changed"]:
        """Return how far it is; ``changed`` if a run has made it impossible meanwhile.

        That is where it has written another index, or removed merged shards: those of an index
        that was lost are given up where the small ones are there.
        """
        target = self.job.target
        marks = [record.fingerprint for record in workspace.ledger.records(target.artifact)]
        if marks == [target.fingerprint]:
            return "done"
        if marks not in ([], [self.before]) or not self._has_shards(workspace):
            return "changed"
        return "before" if marks else "begun"

    def _has_shards(self, workspace: Workspace) -> bool:
        """Whether all shards that the index is to name are there as it was planned over them."""
        folder = dataset_folder(self.job.dataset)
        survey = workspace.ledger.survey(folder)
        artifacts = [f"{folder}/{name}" for name in self.job.shards]
        found = {each: survey.records(each) for each in artifacts}
        if not all(found.values()):
            return False
        return digest_of({each: records[-1].digest for each, records in found.items()}) == (
            self.job.content
        )


class Former(BaseModel):
    """What the record of an artifact said before shards were merged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: str
    digest: str
    body: dict[str, Any]


class Journal(BaseModel):
    """What is left of a compaction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made: dict[str, tuple[str, ...]] = {}
    """Names of the merged shards, by data set."""
    indexes: tuple[IndexChange, ...] = ()
    """None while merged shards are made."""
    copied: dict[str, Former] = {}
    """By artifact: numbers over all images, which stay what they are. Whole, as a compaction may be
    killed while one has lost its record and not got another."""
    options: str = ""
    """Digest of all that these numbers follow from beside the images; see ``digest_of_options``."""

    @property
    def retired(self) -> dict[str, tuple[str, ...]]:
        """Names of the shards that are removed, by data set; of one index, those gone before too.

        One that is killed while they are removed may leave files that no record names any more.
        """
        return {change.job.dataset: change.job.gone for change in self.indexes}

    def write(self, store: Store) -> None:
        """Write it into the workspace."""
        store.write(COMPACTING, self.model_dump_json(indent=1).encode())

    def is_begun(self, workspace: Workspace) -> bool:
        """Whether an index has been changed, and no run has changed one otherwise since."""
        states = {change.state(workspace) for change in self.indexes}
        return "changed" not in states and bool(states - {"before"})


def digest_of_options(configs: Iterable[Config]) -> str:
    """Return the digest of configurations, and of the versions of what computes numbers.

    Args:
        configs: all that a workspace serves. Where the workspace lies counts for nothing.
    """
    trees = [each.model_dump(mode="json", exclude={"workspace"}) for each in configs]
    metrics = {metric.column: metric.version for metric in METRICS}
    packages = {name: version(name) for name in ("dot-pipeline", "torch-fidelity")}
    ordered = sorted(trees, key=lambda tree: str(tree["name"]))
    return digest_of([ordered, dict(VERSIONS), metrics, packages])


def read_journal(store: Store) -> Journal | None:
    """Return the journal of a compaction that was cut short; None if there is none to read."""
    try:
        return Journal.model_validate_json(store.read(COMPACTING))
    except (FileNotFoundError, ValidationError):
        return None


def close_journal(store: Store) -> None:
    """Remove the journal; no error if there is none."""
    store.remove(COMPACTING)
