"""Removal: files of a store go in; they are removed, and their sizes told folder by folder."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store
from tasks.io.workspace import key_of_file
from tasks.upkeep.forecasts.room import in_bytes


def _size_of(store: Store, path: str) -> int | None:
    try:
        return store.entry(path).size
    except FileNotFoundError:
        return None


def sizes_of(paths: Sequence[str], store: Store) -> dict[str, int]:
    """Return the sizes of files in bytes, by path, without files that are not there."""
    sizes = side_by_side(partial(_size_of, store), paths)
    return {path: size for path, size in zip(paths, sizes, strict=True) if size is not None}


def remove_files(paths: Iterable[str], store: Store) -> None:
    """Remove files, several at once; those that are not there count as removed."""
    for _ in side_by_side(store.remove, paths):
        pass  # each result is waited for, and raises what went wrong


def by_folder(files: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return how many files of how many bytes there are in each folder.

    The folders that keys name, where images are no tars, count as one.

    Args:
        files: sizes in bytes, by path.
    """
    folders: dict[str, tuple[int, int]] = {}
    for path, size in sorted(files.items()):
        is_own = key_of_file(path) is not None
        folder = "/".join(path.split("/")[:5]) if is_own else path.rpartition("/")[0]
        count, total = folders.get(folder, (0, 0))
        folders[folder] = (count + 1, total + size)
    return folders


def total_of(folders: Mapping[str, tuple[int, int]]) -> str:
    """Return how many files of how many bytes folders have, in words, as in '2 files, 1.2 MB'.

    Args:
        folders: as ``by_folder`` returns them.
    """
    files, size = (sum(each[place] for each in folders.values()) for place in (0, 1))
    return f"{files} file{'' if files == 1 else 's'}, {in_bytes(size)}"
