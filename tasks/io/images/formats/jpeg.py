"""The pixels of a JPEG, with its damage found: what its scans lack is not filled with grey.

libjpeg fills a scan that ends early, and says so by a warning that Pillow drops. Only where
its input stops without a marker does it wait for more. So the decoder is given each piece of
entropy-coded data, the bits between two markers, without the marker behind it, and is then
asked what it waits for: more of the piece, or the marker. That costs no second pass, and a
file that lacks its last marker, but no pixel, is whole.

Damage that leaves the number of blocks in a piece as it was is not found.
"""

from contextlib import closing

from PIL import Image, ImageFile

from tasks.io.errors import ImageRefused
from tasks.io.images.formats.jpeg_scans import Scan, frame_of, have_all_coefficients, scans_of
from tasks.io.images.formats.loaded import Loaded, of_pillow

_AHEAD = bytes(8)
"""What libjpeg may look at behind the bits that it needs: the 64 that its buffer holds."""

_SPARE = 64
"""Bytes that may stand behind the last block of a piece; some cameras write a few."""

_ZEROS = bytes(64)
"""More zeros than the codes of a natural image put together, unless they are flat blocks."""

_END = b"\xff\xd9"
_SHORT = "damaged: the data of its scan end before the last pixel"
_LONG = "damaged: the data of its scan go on behind the last pixel, so pixels are out of place"
_PIECES = "damaged: restart markers of its scan are missing, and the pixels behind them"
_SCANS = "damaged: scans are missing"
_ZEROED = "damaged: data of its scan are overwritten with zeros"


def complaint(data: bytes) -> str | None:
    """Return why a JPEG is of a kind that is not read; None if it may be."""
    if (frame := frame_of(data)) is None:
        return None
    if frame.height == 0:
        return "JPEG whose height stands behind its pixels is not read; save it anew"
    if frame.has_huffman_codes_of_8_bits and len(frame.sampling) in (1, 3, 4):
        return None
    return (
        f"JPEG of the kind SOF{frame.marker - 0xC0} with {len(frame.sampling)} components of "
        f"{frame.bits} bits is not read; save it as a baseline JPEG or as PNG"
    )


def load(image: ImageFile.ImageFile, data: bytes) -> Loaded:
    """Return the pixels of an opened JPEG, none of them missing.

    Raises:
        ImageRefused: pixels are missing, or there are data for more than the frame's.
        OSError: libjpeg gives up.
    """
    scans = []
    with closing(_Decoder(image)) as decoder:
        for scan in scans_of(data):
            _require_whole(scan)
            decoder.take(scan.head)
            for piece in scan.pieces:
                decoder.take_piece(piece)
            scans.append(scan)
        if not have_all_coefficients(scans):
            raise ImageRefused(_SCANS)
        decoder.take(_END)
    image.tile = []
    return of_pillow(image)


def _require_whole(scan: Scan) -> None:
    """Raise ImageRefused if a scan shows damage before it is decoded."""
    if not scan.has_all_pieces:
        raise ImageRefused(_PIECES)
    if not scan.may_have_zeros and any(_ZEROS in piece.rstrip(b"\0") for piece in scan.pieces):
        raise ImageRefused(_ZEROED)


class _Decoder:
    """Pillow's decoder of a JPEG, which is given the file bit by bit."""

    def __init__(self, image: ImageFile.ImageFile) -> None:
        name, extents, _, args = image.tile[0]
        image.load_prepare()
        self._decoder = Image._getdecoder(image.mode, name, args, image.decoderconfig)
        self._decoder.setimage(image.im, extents)
        self._left = b""
        self._is_finished = False

    def close(self) -> None:
        """Give back what the decoder holds."""
        self._decoder.cleanup()

    def take(self, data: bytes) -> None:
        """Decode what comes next in the file.

        Raises:
            OSError: libjpeg gives up.
        """
        if self._is_finished:
            return
        data = self._left + data
        used, error = self._decoder.decode(data)
        if error < 0:
            raise OSError("libjpeg cannot decode it")
        self._is_finished = used < 0
        self._left = data[used:]

    def take_piece(self, piece: bytes) -> None:
        """Decode a piece, which must hold as many blocks as the decoder expects.

        Raises:
            ImageRefused: it holds more or fewer.
            OSError: libjpeg gives up.
        """
        if self._is_finished:
            raise ImageRefused(_LONG)
        place = _before_the_spare(piece)
        is_filled = len(set(piece[place:])) < 2  # up to the marker, with the same byte
        self.take(piece[:place])
        if self._wants_marker(piece[place : place + 1]) and not is_filled:
            raise ImageRefused(_LONG)
        self.take(piece[place + 1 :] + _AHEAD)
        if not self._wants_marker(b"\0"):
            raise ImageRefused(_SHORT)

    def _wants_marker(self, byte: bytes) -> bool:
        """Whether the decoder, given a byte of a piece, has no use for it.

        What it has no use for it drops, while it keeps a single byte of what it decodes.
        """
        had_left = bool(self._left)
        self.take(byte)
        return self._is_finished or not (had_left or self._left)


def _before_the_spare(piece: bytes) -> int:
    """Return a place with ``_SPARE`` bytes or a few more behind it, not beside a byte of ones.

    Such a byte may begin a marker, so that the decoder keeps it, whatever it waits for.
    """
    place = max(0, len(piece) - _SPARE)
    while place > 0 and 0xFF in piece[place - 1 : place + 1]:
        place -= 1
    return place
