"""What a decoding child says of an image arrives as it was said."""

import numpy as np
import pytest

from tasks.io.images import Metadata, Raster
from tasks.io.images.answers import DESCRIPTION, HEAD, described, message


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_an_image_is_described_as_it_is(depth, has_alpha):
    said = Metadata(b"profile", b"", b"<xmp/>", (300.0, 299.5))
    raster = Raster(
        pixels=np.ones((8, 9, 3), depth),
        alpha=np.ones((8, 9), depth) if has_alpha else None,
        is_grey=has_alpha,
        file_format="tiff",
        bits=12,
        metadata=said,
        remark="Exif left out",
    )
    head, description, *pieces = message(raster)
    found = described(*HEAD.unpack(head), description)
    assert found.raster.kind == raster.kind
    assert (found.raster.file_format, found.raster.bits) == ("tiff", 12)
    assert found.raster.metadata.resolution == said.resolution
    assert found.sizes == (7, 0, 6, 13)
    assert [bytes(piece) for piece in pieces[-4:]] == [
        said.icc,
        said.exif,
        said.xmp,
        b"Exif left out",
    ]
    assert sum(len(piece) for piece in pieces) == (
        raster.pixels.nbytes + (raster.alpha.nbytes if has_alpha else 0) + 26
    )


def test_what_cannot_be_an_image_is_told():
    with pytest.raises(ValueError, match="known kind"):
        described(8, 8, DESCRIPTION.pack(b"?", False, False, 0, 8, 0, 0, 0, 0, 0.0, 0.0))
