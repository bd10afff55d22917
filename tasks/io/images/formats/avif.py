"""The pixels of an AVIF, of 8, 10 or 12 bits."""

import numpy as np
from PIL import ImageFile

from tasks.io.images.formats.loaded import Loaded, of_pillow, of_samples

_CODING = b"av1C"
"""The box that says how pixels are coded; there is another for alpha, and a gain map may have one.
Of its third byte, bit 6 says that they have more than 8 bits, bit 5 that they have 12, and bit 4
that they are grey."""

_DEEP, _TWELVE, _GREY = 0x40, 0x20, 0x10


def load(image: ImageFile.ImageFile, data: bytes) -> Loaded:
    """Return the pixels of an opened AVIF.

    Raises:
        Exception: libavif cannot decode it.
    """
    flags = list(_flags(data))
    is_grey = bool(flags) and all(flag & _GREY for flag in flags)
    if getattr(image, "n_frames", 1) == 1 and any(flag & _DEEP for flag in flags):
        return _deep(data, 12 if any(flag & _TWELVE for flag in flags) else 10)
    image.load()
    loaded = of_pillow(image)
    if is_grey and loaded.channels == 3:
        return loaded._replace(colours=loaded.colours[..., 0])
    return loaded


def _deep(data: bytes, bits: int) -> Loaded:
    """Return pixels of more than 8 bits, which Pillow does not give.

    imagecodecs must not be asked for a frame of several: it ends the process.
    """
    from imagecodecs import avif_decode

    samples = avif_decode(data, numthreads=1)
    return of_samples(samples, bits if samples.dtype == np.uint16 else 8)


def _flags(data: bytes) -> list[int]:
    found, place = [], data.find(_CODING)
    while 0 <= place < len(data) - 6:
        found.append(data[place + 6])
        place = data.find(_CODING, place + 1)
    return found
