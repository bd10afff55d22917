"""The demonstration: photographs of scikit-image, and a configuration for them."""

from importlib.resources import files
from pathlib import Path

from tasks.io.errors import ConfigurationError

NATURAL = ("camera.png", "rocket.jpg", "motorcycle_left.png")
REFERENCE = ("astronaut.png", "chelsea.png", "coffee.png")
"""Names of photographs to fit on, and of others to enhance, among those in scikit-image's wheel."""


def write_demo(folder: Path) -> Path:
    """Write the photographs and a configuration, except those that are there; return its path.

    Raises:
        ConfigurationError: the folder is a file.
    """
    if folder.is_file():
        raise ConfigurationError(f"the demo needs a folder, got the file {str(folder)!r}")
    for role, photographs in (("natural", NATURAL), ("reference", REFERENCE)):
        for name in photographs:
            _copy(name, folder / "photographs" / role)
    config = folder / "demo.yaml"
    if not config.exists():
        config.write_text((files("infra") / "configs" / "demo.yaml").read_text("utf-8"), "utf-8")
    return config


def _copy(name: str, folder: Path) -> None:
    """Write one photograph into a folder, as the file that it is."""
    if (folder / name).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.part"  # renamed at the end, so that the file is whole
    aside.write_bytes((files("skimage.data") / name).read_bytes())
    aside.rename(folder / name)
