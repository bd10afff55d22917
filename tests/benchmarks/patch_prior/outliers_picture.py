"""A reference with outliers, and what each marginal of the transport makes of an image.

The experiment of Mignon et al. 2023, Fig. 1: an image of 100 × 100 pixels takes the patches of a
reference which is samples of two models, four fifths of the texture of the image and one fifth of
another. Models are random-phase textures (Galerne, Gousseau and Morel 2011): the spectrum of a
photograph, its phases drawn anew, the photographs being those of a wall and of gravel that
scikit-image brings. The image is such a texture, blurred, with a bright square that no patch of
the reference has. Nothing but the transport acts on it.

    python tests/benchmarks/patch_prior/outliers_picture.py infra/pictures/outliers.png

writes the picture and prints, for each image, the share of the plan that comes from outliers and
how far its patches are from those of the texture. It takes a minute of one core.
"""

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor
from torch.nn import functional

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.patch_pyramids import drawn_patches, patches_adjoint, patches_of
from dot_kernels.sinkhorn import Marginal, PatchTransport, patch_transport

SIDE, SIZE, STRIDE = 100, 8, 2
"""Pixels of the image, of a patch, and between patches."""

EPS, RHO = 2e-4, 0.1

SAMPLES, OUTLIERS = 2000, 0.2
"""Patches of the reference, and the share of them that are of the other model."""

FIRST_EPS, FALL = 0.02, 0.8
"""ε falls to that of the paper: there, potentials take thousands of alternations from nothing."""

STEPS, ALTERNATIONS, AT_THE_END = 35, 30, 300
"""Of the descent, in each of them, and where it ended."""

MARGINALS: tuple[Marginal, ...] = ("balanced", "semi", "unbalanced")


class Scene(NamedTuple):
    """What the experiment begins with."""

    texture: Tensor
    """(1, h, w), in [0, 1], as all images."""
    damaged: Tensor
    """The same, blurred and with a square in it."""
    clean: Tensor
    """Patches (m, d) of other textures of its model: the first of the reference."""
    outliers: Tensor
    """Patches of the other model: the rest of the reference."""
    judges: Tensor
    """More patches of the first model, which nobody but ``distance`` sees."""


class Outcome(NamedTuple):
    """What a transport made of the image."""

    image: Tensor
    used: Tensor
    """(1, h, w): the share of outliers in what each pixel is moved to, in [0, 1]."""
    share: float
    """The share of outliers in the plan."""
    distance: float
    """Of its patches from those of the texture; see ``distance``."""


def scene() -> Scene:
    """The textures and the reference, always the same."""
    generator = torch.Generator().manual_seed(0)
    wall, gravel = part_of(data.brick(), 0.62), part_of(data.gravel(), 0.34)
    texture = random_phase(wall, generator)
    damaged = functional.avg_pool2d(functional.pad(texture, (2, 2, 2, 2), "reflect"), 5, 1)
    damaged[:, 41:59, 41:59] = 0.95
    few = round(OUTLIERS * SAMPLES)
    clean = samples(wall, SAMPLES - few, generator)
    outliers = samples(gravel, few, generator)
    return Scene(texture, damaged, clean, outliers, samples(wall, 4 * SAMPLES, generator))


def part_of(photograph: np.ndarray, mean: float) -> Tensor:
    """A part (1, h, w) of a photograph, of a mean and a standard deviation of 0.08."""
    pixels = torch.from_numpy(photograph.copy()).float()
    part = pixels[None, 60 : 60 + SIDE, 60 : 60 + SIDE]
    return mean + 0.08 * (part - part.mean()) / part.std()


def samples(image: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Patches (count, d) of eight random-phase textures of an image."""
    return torch.cat(
        [
            drawn_patches(random_phase(image, generator), SIZE, count // 8, generator)
            for _ in range(8)
        ]
    )


def random_phase(image: Tensor, generator: torch.Generator) -> Tensor:
    """An image (1, h, w) with the mean and the spectrum of another, and phases of white noise."""
    phases = torch.fft.rfft2(torch.randn(image.shape, generator=generator)).sgn()
    spectrum = torch.fft.rfft2(image - image.mean()).abs()
    return image.mean() + torch.fft.irfft2(spectrum * phases, s=image.shape[1:])


def distance(image: Tensor, given: Scene) -> float:
    """From an image's patches to the texture's, taken as Gaussian, in grey levels a pixel."""
    sides = (GaussianMoments.of(side) for side in (patches_of(image, SIZE, 1), given.judges))
    return 255 * math.sqrt(gelbrich_distance(*sides)) / SIZE


def moved(given: Scene, marginal: Marginal) -> Outcome:
    """What becomes of the damaged image when only the transport acts on it.

    A step goes half of the way to where all patches of a pixel together want it.
    """
    reference = torch.cat([given.clean, given.outliers])
    image, potential = given.damaged, None
    for step in range(STEPS):
        patches = patches_of(image, SIZE, STRIDE)
        eps = max(EPS, FIRST_EPS * FALL**step)
        found = transported(patches, reference, eps, marginal, potential, ALTERNATIONS)
        potential = found.source_potential
        image = image + at_pixels(found.mass[:, None] * (found.barycentres - patches)) / 2
    patches = patches_of(image, SIZE, STRIDE)
    found = transported(patches, reference, EPS, marginal, potential, AT_THE_END)
    cost = torch.cdist(patches, reference).square()
    rows = ((found.reference_potential - cost) / EPS).softmax(dim=1)
    taken = found.mass * rows[:, len(given.clean) :].sum(dim=1)
    return Outcome(
        image,
        at_pixels(taken[:, None].expand_as(patches)),
        float(taken.sum() / found.mass.sum()),
        distance(image, given),
    )


def transported(
    patches: Tensor,
    reference: Tensor,
    eps: float,
    marginal: Marginal,
    start: Tensor | None,
    alternations: int,
) -> PatchTransport:
    """The transport of an image's patches, from where it was a step ago."""
    return patch_transport(
        patches,
        reference,
        eps=eps,
        rho=RHO,
        marginal=marginal,
        start=start,
        alternations=alternations,
        tolerance=1e-3,
    )


def at_pixels(patches: Tensor) -> Tensor:
    """The mean of all patches (n, d) that cover a pixel, at each pixel of the image."""
    shape = torch.Size((1, SIDE, SIDE))
    covered = patches_adjoint(torch.ones_like(patches), shape, SIZE, STRIDE)
    return patches_adjoint(patches, shape, SIZE, STRIDE) / covered


TILE, GAP, HEAD = 190, 8, 26
"""Pixels of an image in the picture, between two, and of the line above them."""

RED = torch.tensor([0.80, 0.15, 0.12])[:, None, None]


def picture(given: Scene, outcomes: dict[str, Outcome]) -> Image.Image:
    """Images in the upper row and, below all but the first, outliers in red."""
    columns = {
        "texture, and the start": (given.texture, given.damaged),
        "reference": mosaic(given),
    }
    columns |= {name: (each.image, reddened(each.used)) for name, each in outcomes.items()}
    step = TILE + GAP
    sheet = Image.new("RGB", (len(columns) * step - GAP, HEAD + 2 * step - GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (name, tiles) in enumerate(columns.items()):
        middle = number * step + TILE // 2
        pen.text((middle, HEAD // 2), name, fill="black", font=font, anchor="mm")
        for row, tile in enumerate(tiles):
            sheet.paste(enlarged(tile), (number * step, HEAD + row * step))
    return sheet


def mosaic(given: Scene) -> tuple[Tensor, Tensor]:
    """Some samples of the reference side by side, and which of them are outliers."""
    reference, across = torch.cat([given.clean, given.outliers]), SIDE // (SIZE + 1)
    order = torch.randperm(len(reference), generator=torch.Generator().manual_seed(3))
    chosen = order[: across**2]
    is_outlier = (chosen >= len(given.clean)).float()[:, None].expand(-1, SIZE**2)
    return side_by_side(reference[chosen], 1.0), reddened(side_by_side(is_outlier, 0.0))


def side_by_side(patches: Tensor, ground: float) -> Tensor:
    """Patches (n, d), as many down as across, on a ground that shows between them."""
    across = math.isqrt(len(patches))
    cells = functional.pad(patches.view(across, across, SIZE, SIZE), (0, 1, 0, 1), value=ground)
    return cells.movedim(2, 1).flatten(2).flatten(0, 1)[None]


def reddened(share: Tensor) -> Tensor:
    """A share (1, h, w) as colours (3, h, w), from a light grey to red."""
    return 0.93 + share * (RED - 0.93)


def enlarged(image: Tensor) -> Image.Image:
    """An image (1 or 3, h, w) as a tile of the picture."""
    pixels = image.expand(3, -1, -1).clamp(0, 1).mul(255).round().byte()
    tile = Image.fromarray(pixels.movedim(0, 2).contiguous().numpy())
    return tile.resize((TILE, TILE), Image.Resampling.BICUBIC)


def main(out: Path) -> None:
    """Write the picture, and print what it shows in numbers."""
    given = scene()
    outcomes: dict[str, Outcome] = {name: moved(given, name) for name in MARGINALS}
    print(f"{'':>10}  outliers  distance")
    for name in ("texture", "damaged"):
        print(f"{name:>10}            {distance(getattr(given, name), given):8.2f}")
    for name, found in outcomes.items():
        print(f"{name:>10}  {found.share:8.3f}  {found.distance:8.2f}")
    picture(given, outcomes).quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
