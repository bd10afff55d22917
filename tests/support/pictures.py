"""Image files of plain pixels, and the pixels of image files, where a test needs nothing else."""

from tasks.io import images
from tasks.io.images import Form, Raster, Wanted, decoding


def encode(pixels, file_format):
    return images.encode(Raster(pixels=pixels), Form(file_format))


def decode(data, limits):
    return decoding.decode(data, limits).pixels


def raster(data, limits, **wanted):
    return decoding.decode(data, limits, Wanted(**wanted))


def fit_to(pixels, resize, crop, limits, **options):
    return images.fit_to(Raster(pixels=pixels), resize, crop, limits, **options).pixels
