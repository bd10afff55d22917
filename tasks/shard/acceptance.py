"""An image file on its way into a shard: kept as it is, or made anew as its corpus asks."""

import hashlib

from tasks.config.corpora import Corpus
from tasks.io.errors import ImageRefused
from tasks.io.images import (
    SEVERAL_FRAMES,
    Header,
    Limits,
    Wanted,
    encode_lossless,
    extension_of,
    fit_to,
    read_header,
)
from tasks.io.images.conversion.colour import is_made_anew
from tasks.io.images.decoder_pool import decode
from tasks.io.images.headers import extension_in, is_plain
from tasks.io.shards import Accepted


def accepted(key: str, source: str, data: bytes, corpus: Corpus, limits: Limits) -> Accepted:
    """Return an image as a member of the shard.

    Args:
        key: of the image.
        source: where its file lies, for the index.
        data: the file.
        corpus: whether and how images are made anew.
        limits: of the bytes and pixels of an image.

    Raises:
        ImageRefused: it cannot be decoded, or is over the limits.
    """
    data, header = _taken(data, corpus, limits)
    return Accepted(
        key=key,
        source=source,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension=header.extension,
        width=header.width,
        height=header.height,
        remark=header.remark,
    )


def _taken(data: bytes, corpus: Corpus, limits: Limits) -> tuple[bytes, Header]:
    """Return the bytes of an image in a shard: those of its file, unless it is made anew.

    That is where it is resized or cropped, converted to sRGB, or the first of several frames.

    Raises:
        ImageRefused: it cannot be decoded, or is over the limits.
    """
    wanted = Wanted(first_frame=corpus.frames == "first", srgb=corpus.colour == "srgb")
    if corpus.resize is None and corpus.crop is None:
        try:
            kept = _as_it_is(data, limits, wanted)
        except ImageRefused as refusal:
            if not wanted.first_frame or str(refusal) != SEVERAL_FRAMES:
                raise
            kept = None
        if kept is not None:
            return data, kept
    fitted = fit_to(
        decode(data, limits, wanted),
        corpus.resize,
        corpus.crop,
        limits,
        resize_filter=corpus.resize_filter,
    )
    made, file_format = encode_lossless(fitted)
    extension = extension_of(file_format)
    return made, Header(extension, fitted.width, fitted.height, remark=fitted.remark)


def _as_it_is(data: bytes, limits: Limits, wanted: Wanted) -> Header | None:
    """Return the header of a file that is kept; None if its colours are to be converted.

    Raises:
        ImageRefused: it cannot be decoded, is over the limits, or has several frames.
    """
    if is_plain(data):
        header = read_header(data, limits)
        if not (wanted.srgb and header.has_profile):
            return header
    raster = decode(data, limits, Wanted(srgb=wanted.srgb))
    if wanted.srgb and is_made_anew(raster):
        return None
    return Header(extension_in(data), raster.width, raster.height, remark=raster.remark)
