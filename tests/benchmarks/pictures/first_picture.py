"""The first picture of the README: a network's output, enhanced, beside the ground truth.

    python tests/benchmarks/pictures/first_picture.py ../shared/data infra/pictures/before-after.png

The map is fitted on parts of photographs of ImageNet, whose licence keeps them out of the picture;
what is shown are photographs that scikit-image brings. From left to right the network's output x*,
alpha 0.5, alpha 0 and the ground truth. It takes a minute on one core.
"""

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from spandrel import ModelLoader
from torch import Tensor

from dot_kernels import (
    AutoencoderCodec,
    fit_levels,
    patch_moments,
    solve_transport,
    transport_images,
)
from dot_kernels.degradations import Noise, degrade
from dot_kernels.dials import LOW_KEPT, with_low_band

RESTORER, STEPS = "cdncnn_color_sigma50.safetensors", [Noise(sigma=50 / 255)]
"""CDnCNN, and what it undoes; it was not trained on ImageNet."""

SHOWN = {"chelsea.png": (90, 64), "astronaut.png": (146, 10)}
"""Photographs, by Stefan van der Walt (CC0) and of NASA, and the corner of what is shown."""

IMAGES, EVERY = 16, 32
"""So many photographs are fitted on, every thirty-second in the order of their names."""

RESTORED, MARGIN = 256, 32
"""Side of what a network restores, and what is cut off its borders before the fit."""

LEVELS = (1, 2, 3)
"""Of the decoder, moved too; low frequencies are kept: as the pipeline does by default."""

SIDE, ZOOM, GAP = 112, 3, 8
"""Pixels of a part, its enlargement, and pixels between parts."""

WIDTH = 960
"""Pixels of the file from left to right, a few more than a page shows."""


def square(image: Image.Image, left: int, top: int) -> Tensor:
    """A square of a photograph (3, 256, 256), in [0, 1]."""
    part = image.convert("RGB").crop((left, top, left + RESTORED, top + RESTORED))
    return torch.from_numpy(np.array(part)).movedim(2, 0) / 255


def centre(path: Path) -> Tensor:
    """The square in the middle of a photograph."""
    with Image.open(path) as image:
        return square(image, (image.width - RESTORED) // 2, (image.height - RESTORED) // 2)


class Method:
    """The network whose outputs are enhanced, the codec, and the map."""

    def __init__(self, data: Path) -> None:
        """Load the networks and fit the map."""
        weights = data / "weights"
        self.network = ModelLoader("cpu").load_from_file(weights / "restorers" / RESTORER).eval()
        module = AutoencoderTiny.from_pretrained(weights / "taesd3")
        self.codec = AutoencoderCodec(module.float())
        paths = sorted(data.glob("images/imagenet_samples/*.JPEG"))[::EVERY][:IMAGES]
        clean = torch.stack([centre(path) for path in paths])
        inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        sides = (torch.cat([self.restored(image, seed) for seed, image in enumerate(clean)]), clean)
        with torch.inference_mode():
            latents = [self.codec.encode(side[inside]) for side in sides]
            plain = solve_transport(*(patch_moments(each, 3) for each in latents))
            each = (side.split(1) for side in latents)
            self.operator = fit_levels(plain, *each, self.codec, levels=LEVELS)

    def restored(self, image: Tensor, seed: int) -> Tensor:
        """An image (3, h, w) degraded and restored, on levels of 8 bits: (1, 3, h, w)."""
        degraded = degrade(image, STEPS, torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            return on_levels(self.network(degraded[None]).float())

    def versions(self, image: Tensor) -> list[Tensor]:
        """What is shown of an image (3, h, w) in [0, 1], from left to right."""
        came = self.restored(image, seed=IMAGES)
        with torch.inference_mode():
            plain = transport_images(came, self.codec, self.operator)
            moved = with_low_band(plain, LOW_KEPT)
        return [came[0], moved.at(0.5)[0], moved.at(0.0)[0], image]


def on_levels(images: Tensor) -> Tensor:
    """Images as a file of 8 bits has them."""
    return images.clamp(0, 1).mul(255).round() / 255


def enlarged(image: Tensor, left: int, top: int) -> Image.Image:
    """The part of an image (3, h, w) in [0, 1] that is shown, enlarged."""
    part = on_levels(image[:, top : top + SIDE, left : left + SIDE]).mul(255).byte()
    picture, large = Image.fromarray(part.movedim(0, 2).numpy()), SIDE * ZOOM
    return picture.resize((large, large), Image.Resampling.BICUBIC)


def rows(method: Method) -> Iterator[list[Image.Image]]:
    """The parts of each photograph, from left to right."""
    for name, corner in SHOWN.items():
        with Image.open(str(files("skimage.data") / name)) as image:
            around = [
                min(max(0, at - (RESTORED - SIDE) // 2), side - RESTORED)
                for at, side in zip(corner, image.size, strict=True)
            ]
            versions = method.versions(square(image, *around))
        left, top = (at - start for at, start in zip(corner, around, strict=True))
        yield [enlarged(version, left, top) for version in versions]


def main(data: Path, out: Path) -> None:
    """Write the picture, a row for each photograph."""
    step = SIDE * ZOOM + GAP
    sheet = Image.new("RGB", (4 * step - GAP, len(SHOWN) * step - GAP), "white")
    for row, parts in enumerate(rows(Method(data))):
        for column, part in enumerate(parts):
            sheet.paste(part, (column * step, row * step))
    size = WIDTH, sheet.height * WIDTH // sheet.width
    sheet.resize(size, Image.Resampling.LANCZOS).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
