"""Image files of plain pixels, and the pixels of image files, where a test needs nothing else."""

from tasks.io import images
from tasks.io.images import Form, Raster, Wanted, decoding
from tasks.io.shards import read_members


def encode(pixels, file_format):
    return images.encode(Raster(pixels=pixels), Form(file_format))


def decode(data, limits):
    return decoding.decode(data, limits).pixels


def raster(data, limits, **wanted):
    return decoding.decode(data, limits, Wanted(**wanted))


def fit_to(pixels, resize, crop, limits, **options):
    return images.fit_to(Raster(pixels=pixels), resize, crop, limits, **options).pixels


def images_of(run, dataset="run"):
    """The pixels of a data set by key."""
    found, limits = {}, run.config.shards.limits()
    for shard in run.workspace.shards(dataset):
        members = run.workspace.members(dataset, shard)
        for member, data in read_members(run.workspace.store, members):
            found[member.key] = decode(data, limits)
    return found
