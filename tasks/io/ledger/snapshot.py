"""A snapshot of the ledger, for those who plan or look and change nothing."""

from functools import cached_property
from itertools import chain

from tasks.io.ledger.ledger import Ledger
from tasks.io.ledger.records import LEDGER, Record, Survey


class Snapshot(Ledger):
    """A ledger whose surveys all tell what was there at the first one: one listing for all."""

    @cached_property
    def _folders(self) -> dict[str, list[Record]]:
        folders: dict[str, list[Record]] = {}
        for path in self.store.names(LEDGER):
            record = Record.parse(path)
            folders.setdefault(record.artifact.rpartition("/")[0], []).append(record)
        return folders

    @cached_property
    def _surveys(self) -> dict[str, Survey]:
        return {}

    def survey(self, prefix: str, start: str = "") -> Survey:
        """Return the records of all artifacts below a folder; ``start`` has no effect."""
        if prefix not in self._surveys:
            below = f"{prefix}/" if prefix else ""
            found = (
                records
                for folder, records in self._folders.items()
                if folder == prefix or folder.startswith(below)
            )
            self._surveys[prefix] = Survey(chain.from_iterable(found))
        return self._surveys[prefix]
