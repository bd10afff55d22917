"""Enhanced images encoded in another format than that of their shard."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from tasks.export.images import Image
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images import FileFormat, Form, Limits, encode
from tasks.io.images.decoder_pool import decode
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import read_members
from tasks.io.store import Store


class Reencoded(NamedTuple):
    """An image in another format."""

    path: str
    """Below the destination."""
    key: str
    data: bytes


def reencoded(
    source: Store, images: Sequence[Image], form: Form, limits: Limits
) -> Iterator[Reencoded]:
    """Yield images encoded anew, in their order; some are made ahead, by a pool of threads.

    Args:
        source: the workspace that holds them.
        images: each with its format.
        form: says how lossy formats are written.
        limits: of the images, whose files may be larger here.

    Raises:
        ConfigurationError: an image cannot be written in its format.
    """
    as_came = replace(form, format="keep")

    def made(item: tuple[Image, bytes]) -> Reencoded:
        image, data = item
        raster = decode(data, replace(limits, max_bytes=max(limits.max_bytes, len(data))))
        how = form if form.format == image.file_format else as_came
        if how is as_came and image.file_format is not None:
            raster = replace(raster, file_format=cast("FileFormat", image.file_format))
        try:
            return Reencoded(image.path, image.member.key, encode(raster, how))
        except ImageRefused as refusal:
            raise ConfigurationError(
                f"--format must be one that holds all images, got {form.format} for "
                f"{image.member.key!r}: {refusal}"
            ) from refusal

    files = (data for _, data in read_members(source, [image.member for image in images]))
    yield from side_by_side(made, zip(images, files, strict=True), threads=cores())
