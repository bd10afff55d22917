"""Which file a study's page is of: two files with one name would each replace the other's."""

import json
from pathlib import Path

from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.store import Store
from tasks.io.workspace import study_folder
from tasks.study.points import points_of
from tasks.study.study_file import Study, load_study

_NOTE = "study.json"


def require_own_page(study: Study, file: Path) -> None:
    """Check that no other file on this machine has a study of this name in this workspace.

    Args:
        study: as the file has it.
        file: its path.

    Raises:
        ConfigurationError: another has, or a point of the study breaks a rule.
    """
    store = _store_of(study)
    former = _former(study, store)
    if former is None or former == file.resolve() or not _is_of(former, study, store):
        return
    raise ConfigurationError(
        f"studies of a workspace must have names of their own, got {study.name!r} in {file} and "
        f"in {former}; give one of them another `name`, as each would replace the other's runs "
        "and page"
    )


def take_page(study: Study, file: Path) -> str:
    """Note that a study's page is of a file; return a sentence if it was another's, or nothing.

    Raises:
        ConfigurationError: see ``require_own_page``.
    """
    require_own_page(study, file)
    store, own = _store_of(study), file.resolve()
    former = _former(study, store)
    if former != own:
        text = json.dumps({"file": str(own)}, indent=1)
        store.write(f"{study_folder(study.name)}/{_NOTE}", text.encode())
    if former in (None, own):
        return ""
    return (
        f"the study {study.name!r} of {store.url} was run from {former}, which is not here any "
        f"more: its page is that of {file} now. If that is a file of another machine, stop, and "
        "give this one a `name` of its own"
    )


def _store_of(study: Study) -> Store:
    return Store(points_of(study)[0].config.workspace)


def _former(study: Study, store: Store) -> Path | None:
    """Return the file that the study's page is of; None where that is not known."""
    try:
        return Path(json.loads(store.read(f"{study_folder(study.name)}/{_NOTE}"))["file"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def _is_of(file: Path, study: Study, store: Store) -> bool:
    """Whether a file still holds a study of this name in this workspace."""
    try:
        other = load_study(file)
        return other.name == study.name and _store_of(other).url == store.url
    except DotpipeError:
        return False
