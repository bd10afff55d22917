"""Textures cut into images to restore and references, clean and with a defect.

    python infra/studies/cut_textures.py ../shared/data/images/textures workspace/textures

Of each texture the four corners are images to restore, and the opposite corner is the reference of
each. In the middle of a spoilt reference is a square of a fifth of its area, from the middle of the
next texture. Folders ``images``, ``clean`` and ``spoilt`` have the same names.
"""

import argparse
import math
from itertools import product
from pathlib import Path

from PIL import Image


def cut(textures: list[Image.Image], side: int) -> dict[str, dict[str, Image.Image]]:
    """Return the images and references of all textures, by folder and name.

    Args:
        textures: two or more, whose sides are twice the side of a corner or more.
        side: of a corner, in pixels.
    """
    found: dict[str, dict[str, Image.Image]] = {"images": {}, "clean": {}, "spoilt": {}}
    for number, (texture, other) in enumerate(
        zip(textures, [*textures[1:], textures[0]], strict=True)
    ):
        for right, low in product((False, True), repeat=2):
            name = f"texture-{number}-{'low' if low else 'high'}-{'right' if right else 'left'}"
            reference = _corner(texture, side, right=not right, low=not low)
            found["images"][name] = _corner(texture, side, right=right, low=low)
            found["clean"][name] = reference
            found["spoilt"][name] = _spoilt(reference, other)
    return found


def _corner(texture: Image.Image, side: int, *, right: bool, low: bool) -> Image.Image:
    left, top = right * (texture.width - side), low * (texture.height - side)
    return texture.crop((left, top, left + side, top + side))


def _spoilt(reference: Image.Image, other: Image.Image) -> Image.Image:
    """Return a reference with a square of another texture in its middle."""
    side = round(math.sqrt(reference.width * reference.height / 5))
    left, top = (other.width - side) // 2, (other.height - side) // 2
    defect = other.crop((left, top, left + side, top + side))
    spoilt = reference.copy()
    spoilt.paste(defect, ((reference.width - side) // 2, (reference.height - side) // 2))
    return spoilt


def main() -> None:
    """Cut the textures of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("textures", type=Path, help="folder of PNG")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--side", type=int, default=64, help="pixels a side of what is cut")
    given = parser.parse_args()
    paths = sorted(given.textures.glob("*.png"))
    if len(paths) < 2:
        parser.error(f"{given.textures} must hold two textures as PNG or more, has {len(paths)}")
    textures = [Image.open(path).convert("RGB") for path in paths]
    if min(min(texture.size) for texture in textures) < 2 * given.side:
        parser.error(f"textures must have {2 * given.side} pixels a side or more; cut less")
    for folder, images in cut(textures, given.side).items():
        (given.out / folder).mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            image.save(given.out / folder / f"{name}.png")


if __name__ == "__main__":
    main()
