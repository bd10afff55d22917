"""How long each format takes to write, and how large its files are, on photographs.

The table that it prints is that of infra/docs/speed.md.
"""

import time

import numpy as np
import pytest
from PIL import Image

from tasks.io.images import Form, Raster, encode

FORMATS = ("webp", "png", "jpeg", "tiff", "avif", "jxl", "heic", "bmp")
DEEP = ("png", "tiff", "avif", "jxl", "heic")


@pytest.fixture(scope="module")
def squares(test_data):
    """Sixteen photographs of 500² pixels."""
    paths = sorted((test_data / "images" / "kodak24").glob("*.png"))[:16]
    return [np.asarray(Image.open(path).convert("RGB"))[:500, :500] for path in paths]


def rasters_of(squares, side, bits, file_format):
    if side == 2000:
        rows = [np.concatenate(squares[start : start + 4], axis=1) for start in range(0, 16, 4)]
        squares = [np.concatenate(rows)]
    if bits > 8:  # with noise where a camera of so many bits has some
        noise = np.random.default_rng(0).integers(-128, 129, squares[0].shape)
        squares = [
            (image.astype(np.int32) * 257 + noise).clip(0, 65535).astype(np.uint16)
            for image in squares
        ]
    return [Raster(pixels=image, file_format=file_format, bits=bits) for image in squares]


def written(rasters):
    """Processor seconds of an image, and bytes of a pixel."""
    start = time.process_time()
    size = sum(len(encode(raster, Form("keep"))) for raster in rasters)
    seconds = (time.process_time() - start) / len(rasters)
    return seconds, size / sum(raster.width * raster.height for raster in rasters)


@pytest.mark.parametrize("bits", [8, 16])
def test_what_writing_costs(squares, bits):
    found = {}
    for file_format in FORMATS if bits == 8 else DEEP:
        deep = 12 if file_format in ("avif", "heic") else 16
        for side in (500, 2000):
            rasters = rasters_of(squares, side, 8 if bits == 8 else deep, file_format)
            costs = [written(rasters) for _ in range(2 if side == 500 else 1)]
            found[file_format, side] = min(costs)
        small, large = found[file_format, 500], found[file_format, 2000]
        print(
            f"| {file_format}, {bits if bits == 8 else deep} bits | {small[0] * 1e3:.0f} ms "
            f"| {large[0] * 1e3:.0f} ms | {small[1]:.2f} |"
        )
    assert found["jxl", 500][0] < found["png", 500][0]
    if bits == 8:
        assert found["jxl", 500][0] < 0.5 * found["webp", 500][0]
