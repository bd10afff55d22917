"""The demonstration: photographs of scikit-image, cut into tiles, and a configuration for them."""

from importlib.resources import as_file, files
from pathlib import Path

from PIL import Image

from tasks.io.errors import ConfigurationError

TILE = 128
"""Height and width of a tile in pixels."""

NATURAL = ("camera.png", "coffee.png", "motorcycle_left.png")
REFERENCE = ("astronaut.png", "chelsea.png", "rocket.jpg")
"""Names of photographs to fit on, and of others to enhance, among scikit-image's data."""


def write_demo(folder: Path) -> Path:
    """Write the tiles and a configuration, except those that are there; return its path.

    Raises:
        ConfigurationError: the folder is a file.
    """
    if folder.is_file():
        raise ConfigurationError(f"the demo needs a folder, got the file {str(folder)!r}")
    for role, photographs in (("natural", NATURAL), ("reference", REFERENCE)):
        for name in photographs:
            _cut(name, folder / "photographs" / role)
    config = folder / "demo.yaml"
    if not config.exists():
        config.write_text((files("infra") / "configs" / "demo.yaml").read_text("utf-8"), "utf-8")
    return config


def _cut(name: str, folder: Path) -> None:
    """Write the whole tiles of one photograph as PNG files, in a folder of its name."""
    tiles = folder / Path(name).stem
    if tiles.exists():
        return
    aside = folder / f".{tiles.name}"  # renamed at the end, so that the folder is whole
    aside.mkdir(parents=True, exist_ok=True)
    with as_file(files("skimage.data") / name) as path, Image.open(path) as opened:
        image = opened.convert("RGB")
    for top in range(0, image.height - TILE + 1, TILE):
        for left in range(0, image.width - TILE + 1, TILE):
            tile = image.crop((left, top, left + TILE, top + TILE))
            tile.save(aside / f"{top:04d}-{left:04d}.png")
    aside.rename(tiles)
