"""Which layouts of TIFF are read; Pillow opens more of them than it reads rightly.

A file of any other layout is refused with what it has as the reason. Numbers of tags are those
of the TIFF 6.0 specification.
"""

from collections import Counter
from typing import NamedTuple

from tasks.io.images.metadata.tags import Directory

_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES = 258, 259, 262, 266, 277
_PLANAR, _PREDICTOR, _INKS, _EXTRA, _FORMAT = 284, 317, 332, 338, 339
_SIZES_AND_PLACES = (256, 257, 273, 278, 279, 320, 322, 323, 324, 325)
_LAYOUT = frozenset({*_SIZES_AND_PLACES, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES})
_LAYOUT |= {_PLANAR, _PREDICTOR, _INKS, _EXTRA, _FORMAT}

_WHITE_IS_ZERO, GREY, RGB, _PALETTE, CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_NAMES = {0: "grey with white as zero", 1: "grey", 2: "RGB", 3: "a palette", 4: "a mask"}
_NAMES |= {
    5: "CMYK",
    6: "YCbCr",
    8: "CIELAB",
    9: "ICCLAB",
    10: "ITULAB",
    32803: "a sensor's mosaic",
}

UNPACKED, JPEG, DEFLATE = 1, 7, (8, 32946)
LZW, PACKBITS, LZMA, _ZSTANDARD = 5, 32773, 34925, 50000
_COMPRESSIONS = frozenset({UNPACKED, JPEG, *DEFLATE, LZW, PACKBITS, LZMA, _ZSTANDARD})
"""Those of faxes are not among them: libtiff fills what their data lack with white."""

_DIFFERENCED = _COMPRESSIONS - {UNPACKED, JPEG, PACKBITS}
"""Those that all readers take a predictor for; with others some heed its tag, and some do not."""

_EXTRAS = ((), (0,), (0, 0), (0, 0, 0), (1,), (1, 0), (1, 0, 0), (2,), (2, 0), (2, 0, 0))
_FEW_EXTRAS = ((), (0,), (1,), (2,))
_KINDS = frozenset(
    {
        *(
            (photometric, bits, ())
            for photometric in (_WHITE_IS_ZERO, GREY)
            for bits in (1, 2, 4, 8)
        ),
        *((GREY, bits, extras) for bits in (8, 12, 16, 32, 64) for extras in _FEW_EXTRAS),
        *((RGB, 8, extras) for extras in _EXTRAS),
        *((RGB, bits, extras) for bits in (12, 16, 32, 64) for extras in _FEW_EXTRAS),
        *((_PALETTE, bits, ()) for bits in (1, 2, 4, 8)),
        *((CMYK, 8, extras) for extras in ((), (0,), (0, 0))),
        (CMYK, 16, ()),
        (_YCBCR, 8, ()),
    }
)
"""Photometric interpretation, bits of each sample, and the kinds of extra samples (0 of unknown
meaning, 1 and 2 alpha) of what is read."""

MOST_TAGS = 1 << 16
_CHANNELS = {_WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, _PALETTE: 1, CMYK: 4, _YCBCR: 3}
_REMEDY = "is not read; save it as grey or RGB of 8 or 16 bits, pixel by pixel"


class Layout(NamedTuple):
    """What a TIFF says of its samples."""

    photometric: int
    bits: tuple[int, ...]
    samples: int
    extras: tuple[int, ...]
    formats: tuple[int, ...]
    is_planar: bool
    compression: int
    predictor: int
    fill_order: int
    inks: int

    @classmethod
    def of(cls, directory: Directory) -> "Layout":
        """Return what the tags say, with the defaults of the specification."""
        samples = directory.number(_SAMPLES, 1)
        bits = directory.numbers(_BITS) or (1,)
        photometric, extras = directory.number(_PHOTOMETRIC, -1), directory.numbers(_EXTRA)
        if (photometric, samples, extras) == (RGB, 4, ()):
            extras = (2,)  # Pillow takes a fourth sample of no known meaning for alpha
        return cls(
            photometric=photometric,
            bits=bits * min(samples, 99) if len(bits) == 1 else bits,
            samples=samples,
            extras=extras,
            formats=directory.numbers(_FORMAT) or (1,),
            is_planar=directory.number(_PLANAR, 1) != 1,
            compression=directory.number(_COMPRESSION, 1),
            predictor=directory.number(_PREDICTOR, 1),
            fill_order=directory.number(_FILL_ORDER, 1),
            inks=directory.number(_INKS, 1),
        )

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return self.bits[0]

    @property
    def is_float(self) -> bool:
        """Whether all samples are floating-point numbers, of a size that there is."""
        return set(self.formats) == {3} and self.depth in (16, 32, 64)

    @property
    def is_whole(self) -> bool:
        """Whether all samples are whole numbers without a sign."""
        return set(self.formats) == {1}

    @property
    def predictors(self) -> tuple[int, ...]:
        """Predictors that are read."""
        if self.is_float:
            return (1, 3)
        return (1, 2) if self.depth in (8, 16) else (1,)

    @property
    def has_alpha(self) -> bool:
        """Whether the first extra sample is alpha, that the colours are multiplied by or not."""
        return self.extras[:1] in ((1,), (2,))

    @property
    def is_multiplied(self) -> bool:
        """Whether colours are multiplied by alpha."""
        return self.extras[:1] == (1,)

    @property
    def is_read_by_pillow(self) -> bool:
        """Whether Pillow gives the samples as they are: of 8 bits, and without others."""
        return self.depth <= 8 and (self.extras == () or self.compression == JPEG)


def complaint(data: bytes) -> str | None:
    """Return which layout a TIFF has that is not read; None if it may be read.

    Raises:
        struct.error: a tag lies outside of the file.
    """
    if (directory := Directory.of(data, MOST_TAGS)) is None:
        return None
    layout = Layout.of(directory)
    if what := _unreadable(directory) or _unknown_numbers(layout) or _unknown_layout(layout):
        return f"TIFF {what} {_REMEDY}"
    return None


def _unreadable(directory: Directory) -> str | None:
    """Return why the tags of a layout cannot be relied on."""
    if directory.is_big and directory.order == ">":
        return "of 64 bits (BigTIFF), the highest byte first,"
    counts = Counter(entry.tag for entry in directory.entries if entry.tag in _LAYOUT)
    if max(counts.values(), default=0) > 1:
        return "with a tag that stands twice"
    if not all(map(directory.numbers, counts)):
        return "with a tag of a wrong type"
    return None


def _unknown_numbers(layout: Layout) -> str | None:
    """Return what kind of numbers, or of packing, a layout has that is not read."""
    depth, form = layout.depth, max(layout.formats)
    kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(form, f"SampleFormat {form}")
    rules = (
        (len(layout.bits) < layout.samples, "without the bits of its samples"),
        (len(set(layout.bits)) > 1, "with samples of different bits"),
        (
            not (layout.is_float or layout.is_whole) or (depth > 16 and not layout.is_float),
            f"with {kind} samples of {depth} bits, whose range is unknown,",
        ),
        (layout.compression not in _COMPRESSIONS, f"with compression {layout.compression}"),
        (
            layout.predictor not in layout.predictors,
            f"with predictor {layout.predictor} of {depth} bits",
        ),
        (
            layout.predictor != 1 and layout.compression not in _DIFFERENCED,
            f"with a predictor and compression {layout.compression}",
        ),
        (
            layout.fill_order != 1
            and (depth, layout.compression, layout.photometric // 2) != (1, UNPACKED, 0),
            "with the lowest bit first (FillOrder 2)",
        ),
        (layout.inks != 1, "with inks other than CMYK"),
    )
    return next((what for is_broken, what in rules if is_broken), None)


def _extra(extras: tuple[int, ...]) -> str:
    return f"(ExtraSamples {', '.join(map(str, extras))})" if extras else ""


def _unknown_layout(layout: Layout) -> str | None:
    """Return how the samples of a layout are arranged, where that is not read."""
    photometric, depth, extras = layout.photometric, layout.depth, layout.extras
    is_jpeg = layout.compression == JPEG
    name = _NAMES.get(photometric, f"photometric interpretation {photometric}")
    what = f"with {layout.samples} samples a pixel of {depth} bits in {name}"
    rules = (
        (layout.samples != _CHANNELS.get(photometric, 0) + len(extras), what),
        ((photometric, depth, extras) not in _KINDS, f"{what} {_extra(extras)}".rstrip()),
        (
            layout.is_planar and (depth < 8 or photometric == _WHITE_IS_ZERO),
            f"{what} in separate planes",
        ),
        (is_jpeg and (depth != 8 or photometric not in (GREY, RGB, _YCBCR)), f"{what} as JPEG"),
        (is_jpeg and layout.is_planar and extras != (), f"{what} as JPEG in separate planes"),
        (photometric == _YCBCR and not is_jpeg, f"{what} without JPEG"),
    )
    return next((what for is_broken, what in rules if is_broken), None)
