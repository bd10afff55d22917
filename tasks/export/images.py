"""The enhanced images of a shard, with the files that they become."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.export.manifest import ExportedFile
from tasks.export.names import exported_name
from tasks.io.images import Form, extension_of, file_format_of
from tasks.io.shards import Member, members_of, origin_of, read_index, tar_of
from tasks.io.shards.sides import SideKind
from tasks.io.store import stem
from tasks.io.workspace import Workspace


class Image(NamedTuple):
    """An enhanced image: the file that it becomes, and where it lies in the workspace."""

    path: str
    """Below the destination."""
    member: Member
    file_format: str | None
    """In which it is written; None for its file as it is."""

    @property
    def file(self) -> ExportedFile:
        """What the manifest says of it, if it is written as it is."""
        member = self.member
        return ExportedFile(key=member.key, size=member.size, sha256=member.sha256)

    def beside(self, kind: SideKind) -> str:
        """Return the path of the file beside it that a side becomes."""
        return f"{stem(self.path)}.{kind}"

    @property
    def paths(self) -> list[str]:
        """Paths of its file and of those beside it."""
        return [self.path, *(self.beside(side.kind) for side in self.member.sides)]


def images_of(
    workspace: Workspace, named_by: str, enhanced: str, shard: str, form: Form | None
) -> list[Image]:
    """Return the enhanced images of a shard with the files that they become, in their order.

    Args:
        workspace: where they lie.
        named_by: data set whose sources name the files.
        enhanced: folder of the enhanced shards.
        shard: its name.
        form: how all of them are written; None for their files as they are.
    """
    came = workspace.shard_index(named_by, shard)
    index, origin = read_index(workspace.store, f"{enhanced}/{shard}.parquet"), origin_of(came)
    tar = None if origin is None else tar_of(origin)
    sources, names = _by_key(came, "source"), _by_key(came, "member")
    written, found = _by_key(index, "member"), list[Image]()
    for member in members_of(index, enhanced):
        file_format, ending = None, _ending(written[member.key])
        if form is not None:
            came_as = file_format_of(_ending(names[member.key]))
            file_format = came_as if form.format == "keep" else form.format
            ending = extension_of(file_format)
        path = exported_name(sources[member.key], member.key, ending, tar)
        found.append(Image(path, member, file_format))
    return found


def _by_key(index: pa.Table, column: str) -> dict[str, str]:
    index = index.filter(pc.equal(index["status"], "ok"))  # refused ones may have the same key
    return dict(zip(index["key"].to_pylist(), index[column].to_pylist(), strict=True))


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
