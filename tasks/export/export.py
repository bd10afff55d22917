"""Export a shard: its enhanced images at one alpha become plain files at the destination.

They are written as they are in the shard, or in another format.
What stands beside an image in the shard becomes a file beside it. What is there already is not
written again, and a file that no export wrote is never replaced.
Each file is written aside and renamed, or uploaded whole.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from prefect import task

from tasks.export.images import Image, images_of
from tasks.export.manifest import MANIFEST, ExportedFile, Manifest
from tasks.export.reencode import Reencoded, reencoded
from tasks.io.errors import ConfigurationError
from tasks.io.images import Form, Limits
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import read_members, read_sides
from tasks.io.shards.loader import windows
from tasks.io.store import Store
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
    form: Form | None
    """How images are written; None for those of the shard as they are."""
    limits: Limits
    """Of the images."""
    destination: str
    """Folder or bucket."""
    mark: str
    """Tells what the files are made from; the manifest's record of the shard bears it."""

    def subject(self) -> Subject:
        """Return the shard with its alpha."""
        return Subject(self.dataset, self.shard, None, (self.alpha,))


@task(name="export", task_run_name="export {job.dataset} {job.shard}", **SHARD_POLICY)
def export_shard(job: ExportJob) -> Outcome:
    """Write the files of one shard that are not at the destination; safe to repeat."""
    return write_exported(job)


def write_exported(job: ExportJob) -> Outcome:
    """Write the files of one shard, and what the manifest says of them.

    Raises:
        ConfigurationError: a file is in the way that no export has written, or an image cannot
            be written in the format that is asked for.
    """
    store, source = Store(job.destination), job.opened().store
    manifest = Manifest(store, job.shard)
    images = images_of(job.opened(), job.named_by, job.enhanced, job.shard, job.form)
    known = manifest.files(job.shard)
    beside = {path: _file(key, data) for path, key, data in _sides(source, images)}
    lying = dict(zip(beside, _lying(store, beside), strict=True))
    to = _Exported(job, store, source, manifest, known, beside, lying)
    files = _write_copies(to, images) if job.form is None else _write_anew(to, images, job.form)
    manifest.finish(job.shard, job.mark, files | beside)
    return Outcome(images=len(images))


class _Exported(NamedTuple):
    """A shard on its way to a destination, and what is there of it."""

    job: ExportJob
    store: Store
    source: Store
    manifest: Manifest
    known: Mapping[str, ExportedFile]
    """What an export has written, or began to."""
    beside: Mapping[str, ExportedFile]
    """Files beside images, as they should be."""
    lying: Mapping[str, bool | None]
    """Of these, whether they are there."""

    def begin(
        self,
        images: Sequence[Image],
        files: Mapping[str, ExportedFile],
        lying: Mapping[str, bool | None],
    ) -> None:
        """Say what may be at the destination from now on, and write what stands beside images.

        Args:
            images: of the shard.
            files: that they become.
            lying: of each of these, whether it is there as it should be; None if none is there.

        Raises:
            ConfigurationError: a file is in the way that no export has written.
        """
        job = self.job
        _require_ours(job.destination, self.known, {**self.lying, **lying})
        self.manifest.begin(job.shard, {**self.known, **self.beside, **files})
        missing = _missing_sides(self.source, images, self.lying)
        for _ in side_by_side(lambda pair: self.store.write(*pair), missing):
            pass


def _write_copies(to: _Exported, images: Sequence[Image]) -> dict[str, ExportedFile]:
    """Write the images that are missing, as they are in the shard; return all files."""
    wanted = {image.path: image.file for image in images}
    lying = dict(zip(wanted, _lying(to.store, wanted), strict=True))
    to.begin(images, wanted, lying)
    advance(sum(map(bool, lying.values())))
    missing = [image for image in images if not lying[image.path]]
    data = read_members(to.source, [image.member for image in missing])
    pairs = ((image.path, content) for image, (_, content) in zip(missing, data, strict=True))
    for _ in side_by_side(lambda pair: to.store.write(*pair), pairs):
        advance(1)
    return wanted


def _write_anew(to: _Exported, images: Sequence[Image], form: Form) -> dict[str, ExportedFile]:
    """Write the images in another format, unless they are there; return all files.

    What an image becomes is known only when it has been encoded, so an export that was broken off
    encodes the images of its last shard again.
    """
    paths = [image.path for image in images]
    sizes = side_by_side(lambda path: size_at(to.store, path), paths)
    lying = {path: None if size is None else False for path, size in zip(paths, sizes, strict=True)}
    made = {image.path: ExportedFile(key=image.member.key) for image in images}
    to.begin(images, made | dict(to.known), lying)

    def written(image: Reencoded) -> tuple[str, ExportedFile]:
        file = _file(image.key, image.data)
        if not _lies(to.store, (image.path, file)):
            to.store.write(image.path, image.data)
        return image.path, file

    for path, file in side_by_side(written, reencoded(to.source, images, form, to.job.limits)):
        made[path] = file
        advance(1)
    return made


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
    return side_by_side(partial(_lies, store), wanted.items())


def _lies(store: Store, item: tuple[str, ExportedFile]) -> bool | None:
    path, file = item
    size = size_at(store, path)
    if size is None:
        return None
    return size == file.size and hashlib.sha256(store.read(path)).hexdigest() == file.sha256


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
