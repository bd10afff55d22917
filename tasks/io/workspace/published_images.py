"""Images of a shard on their way into the workspace: in a tar, or as files under their keys."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate
from typing import Literal, NamedTuple

from tasks.io.errors import ArtifactDamaged, CorpusError
from tasks.io.images.writers.form import HOLDS
from tasks.io.ledger import Publication
from tasks.io.shards import (
    IMAGES,
    SHARD_ENDINGS,
    Accepted,
    FilesOfTheirOwn,
    Refused,
    ShardWriter,
    TarWriter,
    members_of,
    read_index,
)
from tasks.io.shards.sides import SIDE_KINDS
from tasks.io.store import stem
from tasks.io.workspace.workspace import Workspace

Outputs = Literal["tars", "files"]
"""How images are laid down: a tar a shard, or a file for each image."""


_LONGEST_NAME = 255
"""Bytes of a name in a folder, at most, on the disks of all systems."""

_ENDINGS = frozenset({*(holds.extension for holds in HOLDS.values()), *SIDE_KINDS})
_LONGEST_ENDING = 1 + max(map(len, _ENDINGS))
_OTHERWISE = "rename it, or set enhance.outputs: tars"


def key_of_file(path: str) -> str | None:
    """Return the key of the image whose own file, or a file beside it, has a path; None for others.

    Args:
        path: below the workspace.
    """
    parts = path.split("/", 5)  # enhanced, data set, operator, alpha, images, key
    is_own = len(parts) == 6 and (parts[0], parts[4]) == ("enhanced", IMAGES)
    return stem(parts[5]) if is_own else None


def require_own_files(workspace: Workspace, dataset: str, shard: str) -> None:
    """Check that the images of a shard can be files of their own on the disk of the workspace.

    A bucket takes every key. A disk takes no name that is too long, and not both an image ``a`` as
    ``a.webp`` and another one below a folder ``a.webp``.

    Args:
        workspace: with the shard.
        dataset: of restored images.
        shard: its name.

    Raises:
        CorpusError: one of them cannot.
    """
    if workspace.store.local() is None:
        return
    keys = [member.key for member in workspace.members(dataset, shard)]
    for key in keys:
        size = len(key.rpartition("/")[2].encode())
        if size + _LONGEST_ENDING > _LONGEST_NAME:
            raise CorpusError(
                f"{key} must have a name of at most {_LONGEST_NAME - _LONGEST_ENDING} bytes to be "
                f"a file of its own, got one of {size}; {_OTHERWISE}"
            )
    suspects = {folder: key for key in keys for folder in _folders_like_files(key)}
    if not suspects:
        return
    holding = workspace.catalogue(dataset).holding
    for folder, key in suspects.items():
        if holding(stem(folder)):
            raise CorpusError(
                f"{key} must not lie in a folder that is called as the file of an image, got "
                f"{folder}, where {stem(folder)} goes; {_OTHERWISE}"
            )


def _folders_like_files(key: str) -> Iterator[str]:
    """Yield the folders of a key whose names end as files that are written."""
    *folders, _ = key.split("/")
    paths = accumulate(folders, lambda path, name: f"{path}/{name}")
    yield from (path for path in paths if path.rpartition(".")[2] in _ENDINGS)


class PublishedImages(NamedTuple):
    """The images of a shard that are being written, and the publication that they are part of."""

    publication: Publication
    writer: ShardWriter
    has_tar: bool
    replaces: bool
    """Whether the shard was published before, from something else."""

    @classmethod
    def of(
        cls, publication: Publication, outputs: Outputs, stack: ExitStack, *, replaces: bool
    ) -> "PublishedImages":
        """Begin with a shard.

        Args:
            publication: of the shard.
            outputs: how its images are laid down.
            stack: closes the file of a tar.
            replaces: whether the shard was published before, from something else.
        """
        folder, _, name = publication.artifact.rpartition("/")
        if outputs == "tars":
            stream = stack.enter_context(publication.file(f"{publication.artifact}.tar").open("wb"))
            return cls(publication, ShardWriter(name, TarWriter(stream)), True, replaces)
        files = FilesOfTheirOwn(lambda image: publication.file(f"{folder}/{IMAGES}/{image}"))
        return cls(publication, ShardWriter(name, files), False, replaces)

    def add(self, image: Accepted | Refused) -> None:
        """Append an image; of a refused one, only the row of the index."""
        self.writer.add(image)

    def close(self, workspace: Workspace) -> None:
        """Write what comes after the last image, into the workspace that has the publication."""
        artifact = self.publication.artifact
        ends = SHARD_ENDINGS[1:] if self.has_tar else ("parquet",)
        self.writer.close(*(self.publication.file(f"{artifact}.{end}") for end in ends))
        if self.replaces:
            self.publication.spared |= _moved(self.publication, workspace)


def _moved(publication: Publication, workspace: Workspace) -> set[str]:
    """Return files of images that were in the shard once, and are in another one now.

    They bear the key alone, so the other shard's images may lie there already.
    """
    folder, _, shard = publication.artifact.rpartition("/")
    _, dataset, *_ = folder.split("/")
    try:
        former = read_index(workspace.store, f"{publication.artifact}.parquet")
    except ArtifactDamaged:
        return set()
    lost = {
        path: member.key
        for member in members_of(former, folder)
        if not member.offset
        for path in (member.file, *(side.file for side in member.sides))
        if path not in publication.files
    }
    if not lost:
        return set()
    holding = workspace.catalogue(dataset).holding
    kept = {key for key in set(lost.values()) if any(e.shard != shard for e in holding(key))}
    return {path for path, key in lost.items() if key in kept}
