"""Tars of somebody else with all that may stand in one, drawn by a seed."""

import io
import random
import tarfile

FORMATS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
LARGEST = 4000
"""Bytes of an image, above which a test may refuse it."""

_FOLDERS = ("", "a/", "./", "é/", "d" * 120 + "/")
_NAMES = ("k", "日本", "e\u0301", "\u00e9", "\u212a", "K", "n" * 150)
_ENDINGS = ("jpg", "png", "json", "txt", "cls", "npy", "gif", "mask.png", "JPG")
_KINDS = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)


def odd_tar(seed, image=lambda random: random.randbytes(random.randrange(LARGEST + 500))):
    """Return the bytes of one to three archives in a row, of up to some hundred members.

    Members of one key stand side by side or apart, keys recur, names are long, odd, refused or
    hidden, and some members are no files.

    Args:
        seed: of what is drawn.
        image: draws the bytes of an image.
    """
    draw = random.Random(seed)
    return b"".join(_archive(draw, image) for _ in range(draw.randint(1, 3)))


def tar_of(members, format_=tarfile.USTAR_FORMAT):
    """Return the bytes of a tar in a format of tarfile, of members by name and content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _archive(draw, image):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=draw.choice(FORMATS)) as archive:
        if draw.random() < 0.3:
            archive.pax_headers = {"comment": "of all members"}
        for _ in range(draw.randint(0, 40)):
            for info, data in _sample(draw, image):
                archive.addfile(info, io.BytesIO(data))
    return (
        out.getvalue() if draw.random() < 0.8 else out.getvalue() + bytes(512 * draw.randint(1, 9))
    )


def _sample(draw, image):
    """Yield the members of one key, or something that is none."""
    if draw.random() < 0.1:
        info = tarfile.TarInfo(
            draw.choice(["x", "../up.jpg", "/abs.jpg", ".hidden.jpg", "a/b.png"])
        )
        info.type = draw.choice((tarfile.REGTYPE, *_KINDS[:3]))
        yield info, b""
        return
    key = (
        f"{draw.choice(_FOLDERS)}{draw.choice(_NAMES)}{draw.choice([1, 1, 2, draw.randint(3, 90)])}"
    )
    for ending in draw.choices(_ENDINGS, weights=(9, 4, 4, 3, 2, 1, 1, 1, 1), k=draw.randint(1, 4)):
        info = tarfile.TarInfo(f"{key}.{ending}")
        data = image(draw) if ending.lower() in ("jpg", "png", "mask.png") else _side(draw)
        info.size = len(data)
        yield info, data


def _side(draw):
    return draw.choice([b"7", b'{"a": 1}', b"[]", b"{", b"a caption" * 90, b"", b'"x"'])
