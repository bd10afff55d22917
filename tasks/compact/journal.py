"""The journal of a compaction: what is left to do once the indexes begin to name merged shards.

Before that, merged shards are in no index, and whatever ends a compaction leaves the data sets as
they were. From then on the rest is in the journal, so that the next compaction ends it. A run
that comes first ends it too, and reads tables again for numbers that this would copy.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tasks.jobs.job import Target
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
        """Return how far it is; ``changed`` if a run has written another index meanwhile."""
        target: Target = self.job.target
        records = workspace.ledger.records(target.artifact)
        marks = [record.fingerprint for record in records]
        if not marks:
            return "begun"
        known: dict[str, Literal["before", "done"]] = {
            self.before: "before",
            target.fingerprint: "done",
        }
        return known.get(marks[0], "changed") if len(marks) == 1 else "changed"


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
