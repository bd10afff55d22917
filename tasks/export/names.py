"""Names of exported files: those of the images that went in, with the ending of what is written."""

from tasks.io.shards.keys import key_complaint
from tasks.io.store import stem

_SAME_FORMAT = {
    **dict.fromkeys(("jpeg", "jpe", "jfif"), "jpg"),
    **dict.fromkeys(("heif", "hif"), "heic"),
    "tiff": "tif",
    "dib": "bmp",
}
"""Endings that are other spellings of a format's usual one."""


def exported_name(source: str, key: str, extension: str, tar: str | None = None) -> str:
    """Return the path of an exported image below its destination.

    It is the image's path in its corpus. The ending changes only where the image is written in
    another format, so that ``a/IMG.JPG`` stays as it is or becomes ``a/IMG.png``. A tar is a
    folder without the ending ``.tar``, as if it had been unpacked.

    Args:
        source: path of the image in its corpus; of one from a tar, the tar's path before it.
        key: of the image, which names it where the source cannot be a path below a folder.
        extension: of the format that is written, without the dot, in small letters.
        tar: path of the foreign tar that the image comes from, if it does.
    """
    if tar is not None:
        source = f"{stem(tar)}/{source.removeprefix(f'{tar}/')}"
    if key_complaint(source) is not None:  # a name in a tar that was escaped to be shown
        return f"{key}.{extension}"
    base = stem(source)
    given = source[len(base) + 1 :]
    is_same = _usual(given) == _usual(extension)
    return source if is_same else f"{base}.{extension}"


def _usual(extension: str) -> str:
    lower = extension.lower()
    return _SAME_FORMAT.get(lower, lower)
