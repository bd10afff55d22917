"""The first picture of the README: what levels make of a real network's output.

    python tests/benchmarks/first_picture.py ../shared/data infra/pictures/before-after.png

Photographs of scikit-image that are in the public domain are reduced by 4 and brought back by
CRAFT. The operator is fitted on other photographs, of which it keeps statistics alone.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from spandrel import ModelLoader
from torch import Tensor

from dot_kernels import AutoencoderCodec, enhance, fit_levels, patch_moments, solve_transport
from dot_kernels.degradations import Downscale, degrade

SHOWN = (("astronaut.png", (136, 40, 296, 200)), ("chelsea.png", (96, 64, 256, 224)))
"""Photographs, of NASA and by Stefan van der Walt (CC0), and the part of each that is shown."""

FITTED, SIDE = 40, 256
"""Photographs of the fit, and the sides of their centres."""

ZOOM, GAP = 2, 8
"""Enlargement, and pixels between parts."""


def restored(clean: Tensor, network) -> Tensor:
    """A photograph (3, h, w) in [0, 1] after downscaling and CRAFT, at 8 bits."""
    small = degrade(clean, [Downscale(factor=4, rounding=True)], torch.Generator())
    return network(small[None])[0].clamp(0, 1).mul(255).round() / 255


def tensor_of(image: Image.Image) -> Tensor:
    """An image (3, h, w) in [0, 1] whose sides are multiples of 8, cut at the right and below."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).movedim(2, 0) / 255
    return pixels[:, : image.height // 8 * 8, : image.width // 8 * 8]


def centres(folder: Path) -> Iterator[Tensor]:
    """Squares from the middle of the photographs to fit on, every tenth of the folder."""
    for path in sorted(folder.glob("*.JPEG"))[5::10][:FITTED]:
        image = Image.open(path)
        left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
        yield tensor_of(image.crop((left, top, left + SIDE, top + SIDE)))


def operator_of(codec: AutoencoderCodec, network, folder: Path):
    """The operator with levels 1 to 3, from pairs of clean and restored photographs."""
    pairs = [(clean, restored(clean, network)) for clean in centres(folder)]
    natural, source = (
        torch.cat([codec.encode(x[None]) for x in side]) for side in zip(*pairs, strict=True)
    )
    latent = solve_transport(patch_moments(source, 3), patch_moments(natural, 3))
    return fit_levels(latent, source.split(5), natural.split(5), codec, levels=[1, 2, 3])


def sheet(rows: Sequence[Sequence[Tensor]]) -> Image.Image:
    """Parts (3, h, w) of photographs side by side, one photograph below the other."""
    side = rows[0][0].shape[1] * ZOOM
    across, down = (n * (side + GAP) - GAP for n in (len(rows[0]), len(rows)))
    made = Image.new("RGB", (across, down), "white")
    for top, row in enumerate(rows):
        for left, part in enumerate(row):
            pixels = part.clamp(0, 1).mul(255).round().byte().movedim(0, 2).numpy()
            large = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            made.paste(large, (left * (side + GAP), top * (side + GAP)))
    return made


@torch.inference_mode()
def main(data: Path, out: Path) -> None:
    """Write the picture: the input, alpha 0.5, alpha 0 and the ground truth of each photograph."""
    loader = ModelLoader(device="cpu")
    network = loader.load_from_file(data / "weights" / "restorers" / "craft_x4.pth")
    network.eval().model.float()
    module = AutoencoderTiny.from_pretrained(data / "weights" / "taesd3")
    codec = AutoencoderCodec(module.float())
    operator = operator_of(codec, network, data / "images" / "imagenet_samples")
    rows = []
    for name, (left, top, right, bottom) in SHOWN:
        with as_file(files("skimage.data") / name) as path:
            clean = tensor_of(Image.open(path))
        came = restored(clean, network)
        half, full = enhance(came[None], codec, operator, alphas=[0.5, 0.0])[:, 0]
        rows.append([x[:, top:bottom, left:right] for x in (came, half, full, clean)])
    sheet(rows).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
