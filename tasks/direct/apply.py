"""An operator applied to images: files and folders go in, enhanced files come out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.config.places import Place, anchored
from tasks.direct.operator_file import OperatorFile
from tasks.export.names import exported_name
from tasks.io.draws import generator_of
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images import EXTENSIONS, Form, Format, Limits, complaint, depth_written, encode
from tasks.io.images.decoder_pool import decode
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store, stem
from tasks.shard.image_files import list_images

_FORMATS: dict[str, Format] = {
    "png": "png",
    "webp": "webp",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "tif": "tiff",
    "tiff": "tiff",
    "avif": "avif",
    "jxl": "jxl",
}
"""Formats that can be written, by endings of names."""


class Image(NamedTuple):
    """An image to enhance, and the file that it becomes."""

    source: Store
    path: str
    key: str
    target: Store
    name: str
    """Path below the target."""
    format: Format
    refusal: str = ""
    """Why its name is refused; empty for an image that is opened."""


class Applied(NamedTuple):
    """What became of an image: its address, and why it was refused, if it was."""

    address: str
    reason: str | None = None


def images_to_enhance(inputs: Sequence[str], out: str) -> list[Image]:
    """Return the images of files and folders, each with the file that it becomes.

    Those whose names are refused are among them, with the reason.

    Args:
        inputs: files, folders or URLs of buckets; relative ones count from the current folder.
        out: a folder or bucket, in which images are PNG files under the names that they have
            below their own; or a file, where one file goes in.

    Raises:
        ConfigurationError: nothing is there, two would have one name, a file is in the way, or
            the images would be written among those that are read.
    """
    target = anchored(out, Path(), "OUT")
    found, refused = dict[str, Image](), list[Image]()
    for given in inputs:
        source = anchored(given, Path(), "IN")
        if Place.of(source).holds(Place.of(target)):
            raise ConfigurationError(
                f"OUT must lie outside of what is read, got {out!r} in {given!r}"
            )
        for image in _listed(source, target, is_one=len(inputs) == 1):
            if image.refusal:
                refused.append(image)
                continue
            if image.name in found:
                raise ConfigurationError(
                    f"two images would become {image.name!r}; apply in two goes"
                )
            found[image.name] = image
    images = list(found.values())
    are_there = side_by_side(lambda image: image.target.exists(image.name), images)
    for image, is_there in zip(images, are_there, strict=True):
        if is_there:
            raise ConfigurationError(
                f"{image.target.address(image.name)} must not exist yet, got a file; move it away, "
                "or name another OUT"
            )
    return [*refused, *images]


def apply(
    file: OperatorFile,
    images: Sequence[Image],
    alpha: float,
    limits: Limits,
) -> Iterator[Applied]:
    """Write the enhanced images one after the other; yield what became of each.

    Args:
        file: the operator with its codec, on the device.
        images: from ``images_to_enhance``.
        alpha: 0 is the full transport, 1 the image as it came.
        limits: larger images are refused.
    """
    for image in images:
        try:
            if image.refusal:
                raise ImageRefused(image.refusal)
            raster, form = decode(image.source.read(image.path), limits), Form(image.format)
            if reason := complaint(raster, form):
                raise ImageRefused(reason)
        except ImageRefused as refusal:
            yield Applied(image.source.address(image.path), str(refusal))
            continue
        draws = [generator_of("transport", 0, image.key)] if file.operator.is_stochastic else []
        depth = depth_written(raster, form)
        pixels = file.enhance_image(raster, alpha, draws, depth)
        image.target.write(image.name, encode(raster.showing(pixels), form))
        yield Applied(image.target.address(image.name))


def _listed(source: str, target: str, *, is_one: bool) -> Iterator[Image]:
    """Yield the images of a folder or one file, with the files that they become.

    Args:
        source: the folder or file.
        target: folder to fill; or a file to write, where one file becomes one.
        is_one: whether nothing else is read.

    Raises:
        ConfigurationError: nothing is there.
    """
    store, ending = Store(source), target.rpartition(".")[2].lower()
    if store.is_folder():
        into = Store(target)
        for file in list_images(store):
            name = exported_name(file.path, file.key, "png")
            yield Image(store, file.path, file.key, into, name, "png", file.refusal)
        return
    folder, name = _parted(source)
    if name.rpartition(".")[2].lower() not in EXTENSIONS or not folder.exists(name):
        raise ConfigurationError(f"IN must be an image file or a folder of images, got {source!r}")
    if is_one and ending in _FORMATS:
        yield Image(folder, name, stem(name), *_parted(target), _FORMATS[ending])
    else:
        named = exported_name(name, stem(name), "png")
        yield Image(folder, name, stem(name), Store(target), named, "png")


def _parted(path: str) -> tuple[Store, str]:
    """Return the folder of a file, and its name there."""
    folder, _, name = path.rpartition("/")
    return Store(folder or "/"), name
