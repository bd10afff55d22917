"""Room: about how many bytes a first run writes, told before it begins."""

from collections.abc import Iterable

from tasks.config import Config
from tasks.io.images import FileFormat, Format, file_format_of
from tasks.io.workspace import Workspace, dataset_folder
from tasks.upkeep.check_corpora import Look

_BYTES_A_PIXEL: dict[FileFormat, float] = {
    "webp": 1.35,
    "png": 1.85,
    "jpeg": 0.55,
    "tiff": 1.85,
    "avif": 0.5,
    "jxl": 1.4,
    "heic": 0.9,
    "bmp": 3.0,
}
"""Of photographs of 512² pixels of 8 bits, as they are written; noise takes more, drawings less."""

_OF_A_PLUG_IN = 3.0
"""Of a format that is not known here: as many as pixels have that are not packed."""


def room_needed(config: Config, looks: Iterable[Look]) -> int | None:
    """Return about how many bytes a first run writes for the images that were looked at, at least.

    Images beyond those, features and tables are not counted.

    Args:
        config: of the run.
        looks: at the corpora that are given as folders.

    Returns:
        None where some of the data sets are there already.
    """
    ledger, by_name = Workspace(config.workspace).ledger, {look.dataset: look for look in looks}
    if any(ledger.survey(dataset_folder(dataset)).artifacts() for dataset in config.datasets()):
        return None
    copied = sum(_copied(look) for look in by_name.values())
    made = sum(
        _pixels(by_name[origin]) * (config.enlargement(origin) or 1) ** 2 * _BYTES_A_PIXEL["webp"]
        for origin in config.made_datasets().values()
        if origin in by_name
    )
    ours = config.made_datasets().get(config.restored_name, config.restored_name)
    shown, factor = by_name.get(ours), config.enlargement(ours) or 1
    each = 0.0 if shown is None else _pixels(shown) * _bytes_a_pixel(shown, config.enhance.format)
    each *= factor**2
    return round(copied + made + each * len(config.enhance.alphas))


def in_bytes(size: float) -> str:
    """Return a size with a unit, in steps of 1000."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


_UNITS = ("B", "kB", "MB", "GB", "TB")


def _copied(look: Look) -> float:
    """Return the bytes of the images in their shards: as they are, unless they are cut to size."""
    if look.corpus.resize is None and look.corpus.crop is None:
        return float(sum(file.size for file in look.files))
    return _pixels(look) * _BYTES_A_PIXEL["webp"]


def _bytes_a_pixel(look: Look, file_format: Format) -> float:
    """Return the bytes of a pixel in a format, or in those of the images that were opened."""
    if file_format != "keep":
        known = (size for name, size in _BYTES_A_PIXEL.items() if name == file_format)
        return next(known, _OF_A_PLUG_IN)
    kept = [_BYTES_A_PIXEL[file_format_of(image.extension)] for image in look.images]
    return sum(kept) / len(kept) if kept else 0.0


def _pixels(look: Look) -> float:
    """Return the pixels of all images that were looked at, by the mean of those opened."""
    return len(look.files) * _mean([image.width * image.height for image in look.images])


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
