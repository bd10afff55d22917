"""The journal of a compaction: what is left to do once the indexes begin to name merged shards.

Before that, merged shards are in no index, and whatever ends a compaction leaves the data sets as
they were. From then on the rest is in the journal, so that the next compaction ends it. A run
that comes first ends it too, and reads tables again for numbers that this would copy.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.io.ledger import digest_of
from tasks.io.store import Store
from tasks.io.workspace import Workspace, dataset_folder
from tasks.shard.index import IndexJob

_PATH = "compacting.json"
"""Where the journal lies in the workspace."""


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


class Journal(BaseModel):
    """What is left of a compaction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    indexes: tuple[IndexChange, ...]
    copied: dict[str, str]
    """Fingerprints, by artifact, of numbers over all images, which stay what they are."""

    def write(self, store: Store) -> None:
        """Write it into the workspace."""
        store.write(_PATH, self.model_dump_json(indent=1).encode())

    def is_begun(self, workspace: Workspace) -> bool:
        """Whether an index has been changed, and no run has changed one otherwise since."""
        states = {change.state(workspace) for change in self.indexes}
        return "changed" not in states and states != {"before"}


def read_journal(store: Store) -> Journal | None:
    """Return the journal of a compaction that was cut short; None if there is none to read."""
    try:
        return Journal.model_validate_json(store.read(_PATH))
    except (FileNotFoundError, ValidationError):
        return None


def close_journal(store: Store) -> None:
    """Remove the journal; no error if there is none."""
    store.remove(_PATH)
