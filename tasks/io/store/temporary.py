"""This machine's temporary folder, as errors of what waits there name it."""

import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from tasks.io.store.errors import written


def temporary_room() -> AbstractContextManager[None]:
    """Errors of files in the temporary folder in the block, those for good with their remedy.

    What is made into the workspace meanwhile has errors of its own: a full temporary folder
    is not mended by room in the workspace.

    Raises:
        StoreRefused: no repetition would help.
    """
    folder = Path(tempfile.gettempdir())
    return written(f"{folder}, where files wait (TMPDIR names it),", folder)
