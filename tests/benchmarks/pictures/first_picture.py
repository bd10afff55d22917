"""The first picture of the README: parts of the demo's photographs, enlarged.

    dotpipe demo /tmp/demo
    python tests/benchmarks/pictures/first_picture.py /tmp/demo infra/pictures/before-after.png

From left to right the input, alpha 0.5, alpha 0 and the ground truth.
"""

import io
import sys
import tarfile
from pathlib import Path

from PIL import Image

SHOWN = {"astronaut": (132, 30), "chelsea": (80, 70)}
"""Photographs, of NASA and by Stefan van der Walt (CC0), and the corner of what is shown."""

FOLDERS = (
    "datasets/demo",
    "enhanced/demo/*/alpha=+0.50",
    "enhanced/demo/*/alpha=+0.00",
    "datasets/reference",
)
"""Below the workspace, those of the columns."""

SIDE, ZOOM, GAP = 160, 2, 8
"""Pixels of a part, its enlargement, and pixels between parts."""


def part_of(folder: Path, key: str) -> Image.Image:
    """The part of a photograph in a folder of shards."""
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                name, _, ending = member.name.partition(".")
                if name == key and ending in ("png", "webp"):
                    image = Image.open(io.BytesIO(tar.extractfile(member).read()))
                    left, top = SHOWN[key]
                    return image.convert("RGB").crop((left, top, left + SIDE, top + SIDE))
    raise SystemExit(f"{folder} must hold {key!r}; run `dotpipe demo` first")


def main(demo: Path, out: Path) -> None:
    """Write the picture, a row for each photograph."""
    large, step = SIDE * ZOOM, SIDE * ZOOM + GAP
    sheet = Image.new("RGB", (len(FOLDERS) * step - GAP, len(SHOWN) * step - GAP), "white")
    for row, key in enumerate(SHOWN):
        for column, pattern in enumerate(FOLDERS):
            (folder,) = (demo / "workspace").glob(pattern)
            part = part_of(folder, key).resize((large, large), Image.Resampling.BICUBIC)
            sheet.paste(part, (column * step, row * step))
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
