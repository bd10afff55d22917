"""Export a shard: its enhanced images at one alpha become plain files at the destination.

What stands beside an image in the shard becomes a file beside it. What is there already is not
written again, and a file that no export wrote is never replaced.
Each file is written aside and renamed, or uploaded whole.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prefect import task

from tasks.export.manifest import MANIFEST, ExportedFile, Manifest
from tasks.export.names import exported_name
from tasks.io.errors import ConfigurationError
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import Member, members_of, origin_of, read_index, read_members, read_sides
from tasks.io.shards.loader import windows
from tasks.io.shards.sides import SideKind
from tasks.io.store import Store, stem
from tasks.jobs import Job, Outcome, Subject
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import advance


class ExportJob(Job):
    """Names a shard of enhanced images, and where its files go."""

    dataset: str
    """The data set that was enhanced."""
    named_by: str
    """The data set whose sources name the files: the same, or the one that it was made from."""
    shard: str
    enhanced: str
    """Folder of the enhanced shards in the workspace."""
    alpha: float
    extension: str
    """Of the files, without the dot."""
    destination: str
    """Folder or bucket."""
    mark: str
    """Tells what the files are made from; the manifest's record of the shard bears it."""

    def subject(self) -> Subject:
        """Return the shard with its alpha."""
        return Subject(self.dataset, self.shard, None, (self.alpha,))


class Image(NamedTuple):
    """An enhanced image: the file that it becomes, and where it lies in the workspace."""

    path: str
    """Below the destination."""
    member: Member

    @property
    def file(self) -> ExportedFile:
        """What the manifest says of it."""
        member = self.member
        return ExportedFile(key=member.key, size=member.size, sha256=member.sha256)

    def beside(self, kind: SideKind) -> str:
        """Return the path of the file beside it that a side becomes."""
        return f"{stem(self.path)}.{kind}"

    @property
    def paths(self) -> list[str]:
        """Paths of its file and of those beside it."""
        return [self.path, *(self.beside(side.kind) for side in self.member.sides)]


@task(name="export", task_run_name="export {job.dataset} {job.shard}", **SHARD_POLICY)
def export_shard(job: ExportJob) -> Outcome:
    """Write the files of one shard that are not at the destination; safe to repeat."""
    return write_exported(job)


def write_exported(job: ExportJob) -> Outcome:
    """Write the files of one shard, and what the manifest says of them.

    Raises:
        ConfigurationError: a file is in the way that no export has written.
    """
    store, source = Store(job.destination), job.opened().store
    manifest, images = Manifest(store, job.shard), images_of(job)
    known = manifest.files(job.shard)
    beside = {path: _file(key, data) for path, key, data in _sides(source, images)}
    wanted = {image.path: image.file for image in images} | beside
    lying = dict(zip(wanted, _lying(store, wanted), strict=True))
    _require_ours(job.destination, known, lying)
    manifest.begin(job.shard, known | wanted)
    advance(sum(bool(lying[image.path]) for image in images))
    for _ in side_by_side(lambda pair: store.write(*pair), _missing_sides(source, images, lying)):
        pass
    missing = [image for image in images if not lying[image.path]]
    data = read_members(source, [image.member for image in missing])
    pairs = ((image.path, content) for image, (_, content) in zip(missing, data, strict=True))
    for _ in side_by_side(lambda pair: store.write(*pair), pairs):
        advance(1)
    manifest.finish(job.shard, job.mark, wanted)
    return Outcome(images=len(images))


def images_of(job: ExportJob) -> list[Image]:
    """Return the enhanced images of a shard with the files that they become, in their order."""
    workspace = job.opened()
    index = workspace.shard_index(job.named_by, job.shard)
    sources = dict(zip(index["key"].to_pylist(), index["source"].to_pylist(), strict=True))
    tar = origin_of(index)
    enhanced = read_index(workspace.store, f"{job.enhanced}/{job.shard}.parquet")
    return [
        Image(exported_name(sources[member.key], member.key, job.extension, tar), member)
        for member in members_of(enhanced, job.enhanced)
    ]


class _SideFile(NamedTuple):
    """A file beside an image, with its bytes."""

    path: str
    key: str
    data: bytes


def _sides(source: Store, images: Sequence[Image]) -> Iterator[_SideFile]:
    """Yield the files that stand beside images; those of one window of images are in memory."""
    by_key = {image.member.key: image for image in images if image.member.sides}
    for window in windows((image.member for image in by_key.values()), batch=16):
        for key, sides in read_sides(source, window).items():
            for kind, data in sides.items():
                yield _SideFile(by_key[key].beside(kind), key, data)


def _missing_sides(
    source: Store, images: Iterable[Image], lying: Mapping[str, bool | None]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of every file beside an image that is not at the destination."""
    lacking = [image for image in images if not all(lying[path] for path in image.paths[1:])]
    for path, _, data in _sides(source, lacking):
        if not lying[path]:
            yield path, data


def _file(key: str, data: bytes) -> ExportedFile:
    return ExportedFile(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _lying(store: Store, wanted: Mapping[str, ExportedFile]) -> Iterator[bool | None]:
    """Yield of every file whether its very bytes lie at the destination; None: no file does."""

    def lies(item: tuple[str, ExportedFile]) -> bool | None:
        path, file = item
        size = size_at(store, path)
        if size is None:
            return None
        return size == file.size and hashlib.sha256(store.read(path)).hexdigest() == file.sha256

    return side_by_side(lies, wanted.items())


def _require_ours(
    destination: str, known: Mapping[str, ExportedFile], lying: Mapping[str, bool | None]
) -> None:
    """Check that an export has written what is about to be replaced.

    Raises:
        ConfigurationError: a file is in the way that the manifest does not know.
    """
    for path, is_same in lying.items():
        if is_same is False and path not in known:
            raise ConfigurationError(
                f"a file that no export wrote must not be replaced, got {path!r} in "
                f"{destination!r}; move it away, or name another folder to write to. (If it was "
                f"written by an export, {MANIFEST} beside it was removed)"
            )


def size_at(store: Store, path: str) -> int | None:
    """Return the size of a file in bytes; None if there is none."""
    try:
        return store.entry(path).size
    except FileNotFoundError:
        return None
