"""The images of a finished run, shard after shard: files as they are, or pictures decoded."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Form, Limits, Pixels, Raster
from tasks.io.images.raster import Metadata
from tasks.io.images.writers.form import brought
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.shards import Member, read_members, read_sides
from tasks.io.shards.loader import load_pictures, windows
from tasks.io.store import Store
from tasks.library.arrays import array_of, pillow_of

_BATCH = 16
"""Images of 512 × 512 pixels that are decoded ahead; see ``windows``."""


class File(NamedTuple):
    """An image file of a run, as it lies in the workspace."""

    key: str
    """Path in the corpus, without extension; the same in every table."""
    shard: str
    """Name of the shard that it is in."""
    extension: str
    """Ending of its format, without the dot: ``webp``, ``png`` and so on."""
    data: bytes
    """The whole file."""
    sides: Mapping[str, bytes]
    """What stands beside the image, by ending: ``txt``, ``cls``, ``json``; often nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A decoded image of a run, upright, at the depth of its file."""

    key: str
    """Path in the corpus, without extension; the same in every table."""
    shard: str
    """Name of the shard that it is in."""
    pixels: NDArray[Any]
    """Pixels (h, w, 3) of RGB: uint8 or uint16 up to the largest number of the type, or float32 in
    [0, 1]. A grey image has three equal channels."""
    opacity: NDArray[Any] | None
    """(h, w) of the same type, transparent being 0; None for an image that is opaque everywhere."""
    is_grey: bool
    """Whether the file has one channel of colour."""
    bits: int
    """Bits of a number in the file; 32 for floating-point ones."""
    file_format: str
    """Of the file: ``webp``, ``png``, ``jpeg`` and so on, or ``plug-in:`` and the name of one."""
    icc: bytes
    """Colour profile; empty without one, where the colours are those of sRGB."""
    exif: bytes
    """Exif, from its byte order on, of an upright image; empty without."""
    xmp: bytes
    """XMP packet, of an upright image; empty without."""
    resolution: tuple[float, float] | None
    """Pixels per inch, across and down; None where the file does not say it."""

    def array(self) -> NDArray[Any]:
        """Return the image as ``DeepOptimalTransport.enhance`` takes one.

        It is (h, w) where the image is grey, or else (h, w, c), opacity being the last channel.
        """
        return array_of(self._raster, self.pixels)

    def pil(self) -> Image.Image:
        """Return the image for Pillow, with its profile, Exif and XMP in ``info``.

        Pillow holds 16 bits of grey images only; others become 8 bits a channel.
        """
        known = {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp}
        return pillow_of(self.array(), {name: data for name, data in known.items() if data})

    @property
    def _raster(self) -> Raster:
        said = Metadata(self.icc, self.exif, self.xmp, self.resolution)
        return Raster(pixels=self.pixels, alpha=self.opacity, is_grey=self.is_grey, metadata=said)


def files(store: Store, shard: str, members: Sequence[Member]) -> Iterator[File]:
    """Yield the files of a shard's images, in the order given.

    Raises:
        ShardDamaged: a file is not there, or does not hold what its index says.
    """
    for window in windows(members, _BATCH):
        sides = read_sides(store, window)
        for member, data in read_members(store, window):
            beside = {str(kind): side for kind, side in sides.get(member.key, {}).items()}
            ending = member.member.rpartition(".")[2]
            yield File(member.key, shard, ending, data, beside)


def pictures(
    store: Store, shard: str, members: Sequence[Member], limits: Limits, form: Form | None
) -> Iterator[Picture]:
    """Yield the images of a shard decoded, in the order given; the next are decoded meanwhile.

    Args:
        store: that they lie in.
        shard: its name.
        members: where they lie.
        limits: of their bytes and pixels.
        form: in which they were written; None for images that came.

    Raises:
        ShardDamaged: a file is not there, or does not hold what its index says.
        ImageRefused: an image cannot be decoded.
        ConfigurationError: they are in the format of a plug-in, which is not installed here.
    """
    with ThreadPoolExecutor(cores()) as pool:
        for window in read_ahead(
            lambda some: load_pictures(store, some, limits, pool, form), windows(members, _BATCH)
        ):
            for found in window:
                if found.raster is None:
                    raise ImageRefused(f"{found.member.key}: {found.reason}")
                yield _picture(found.member.key, shard, found.raster, form)


def _picture(key: str, shard: str, raster: Raster, form: Form | None) -> Picture:
    pixels: Pixels = raster.pixels
    return Picture(
        key=key,
        shard=shard,
        pixels=pixels,
        opacity=raster.alpha,
        is_grey=raster.is_grey,
        bits=raster.bits,
        file_format=_file_format(raster, form),
        **raster.metadata._asdict(),
    )


def _file_format(raster: Raster, form: Form | None) -> str:
    """Return the format of a file: what was found, or the plug-in that alone reads it."""
    plug_in = None if form is None else brought(form.format)
    if plug_in is None or not plug_in.signature:
        return raster.file_format
    return str(plug_in.inputs["format"])
