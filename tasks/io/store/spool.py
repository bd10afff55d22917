"""The spool: the folder where files are written before they are published.

A local store has its spool on its own disk, so that publishing a finished file only renames
it. Files for a remote store wait in this machine's temporary folder until they are uploaded.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.io.store.atomic import aside_in, make_folder, sweep
from tasks.io.store.local_files import written

PARTIAL = ".partial"
"""The spool of a local store, by its path there; nothing in it is ever read."""


@dataclass(frozen=True)
class Spool:
    """Where one store's files are written before they are published."""

    folder: Path
    root: Path | None
    """The store's own folder; None if the store is remote."""

    @contextmanager
    def scratch(self, address: str) -> Iterator[Path]:
        """Give the block a name for a file, which is removed afterwards if it is still there.

        Args:
            address: what errors call the place where the spool cannot be made.
        """
        with self.writing(address):
            make_folder(self.folder)
        aside = aside_in(self.folder)
        try:
            yield aside
        finally:
            with suppress(OSError):  # gone already, or a disk that takes nothing any more
                aside.unlink()

    def writing(self, address: str) -> AbstractContextManager[None]:
        """Translate errors of writing in the block: those for good name their remedy.

        Args:
            address: what is being written, for errors.
        """
        if self.root is not None:
            return written(address, self.root)
        return written(f"{self.folder}, where {address} is made,", self.folder)

    def clear(self) -> None:
        """Remove a local store's spool with all its files; only while nobody else writes."""
        if self.root is None:
            return
        for aside in self.folder.glob("*"):
            aside.unlink(missing_ok=True)
        with suppress(OSError):  # there is none
            self.folder.rmdir()

    def sweep(self) -> None:
        """Remove files that processes left which have ended."""
        sweep(self.folder)


def temporary_room() -> AbstractContextManager[None]:
    """Translate errors of files in the temporary folder in the block, as ``written`` does.

    Their text names that folder, because making room in the workspace would not mend them.

    Raises:
        StoreRefused: no repetition would help; the text says what would.
    """
    folder = Path(tempfile.gettempdir())
    return written(f"{folder}, where files wait (TMPDIR names it),", folder)
