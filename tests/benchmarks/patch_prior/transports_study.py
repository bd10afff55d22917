"""Restores textures by the patches of clean and of spoilt references: the orders of a paper.

Mignon et al. 2023 compare marginals of the transport on textures whose reference has defects
(Table I). Here, of each of some textures, two pairs are taken of a crop to restore and another
one, from the opposite corner, as its reference. A reference is spoilt by a square of a fifth of
its area, cut from the next texture. Crops are blurred by a Gaussian of 16 × 16 with sigma 2,
every fourth pixel of which is kept, with noise of sigma 0.01. There are two studies: ``grey``, in
which steps are few, and ``colour``, with the default of every option.

    python tests/benchmarks/patch_prior/transports_study.py ../shared/data rows-0.json grey 0/3

measures the first of three parts of the pairs: a row for each pair, reference and transport.

    python tests/benchmarks/patch_prior/transports_study.py rows-*.json

prints means, and in how many pairs one transport is above another. One core takes about six
minutes for grey, and fifteen for colour.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional

from dot_kernels.degradations import GaussianBlur, Noise, degrade
from dot_kernels.linear_degradations import spectral_degradation
from dot_kernels.metrics import (
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from dot_kernels.patch_levels import PatchCost
from dot_kernels.patch_prior import PatchPriorOptions, restore_by_patches
from dot_kernels.restorers import bicubic
from tasks.io.networks.features.perceptual import Perceptual, load_lpips

STEPS = (GaussianBlur(size=16, sigma=2.0, stride=4), Noise(sigma=0.01))

METRICS = ("psnr", "ssim", "lpips")
TRANSPORTS = ("balanced", "semi", "unbalanced", "wpp")


class Study(NamedTuple):
    """What is restored, and how."""

    textures: Callable[[Path], dict[str, tuple[Tensor, Tensor]]]
    """Textures of 256 pixels a side or more, each with what references are cut from."""
    side: int
    """Of crops and references, in pixels."""
    options: PatchPriorOptions


class Pair(NamedTuple):
    """A texture to restore, its reference, and the same reference with a defect."""

    name: str
    image: Tensor
    references: dict[str, Tensor]


def grey_textures(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Seven, (1, h, w): three of scikit-image, three of wgenpatex, and a scanned material."""
    own = {name: _halved(getattr(data, name)()) for name in ("brick", "gravel", "grass")}
    given = {f"texture {n}": _read(_texture(folder, n), "L") for n in (1, 2, 3)}
    material = folder / "images" / "texture_reference"
    pair = _read(material / "img_hr.png", "L"), _read(material / "img_learn.png", "L")
    return {name: (x, x) for name, x in (own | given).items()} | {"material": pair}


def colour_textures(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Four, (3, h, w): the three of wgenpatex, and stained tissue of scikit-image."""
    given = {f"texture {n}": _read(_texture(folder, n), "RGB") for n in (1, 2, 3)}
    found = given | {"tissue": _halved(data.immunohistochemistry())}
    return {name: (x, x) for name, x in found.items()}


STUDIES = {
    "grey": Study(
        grey_textures,
        64,
        PatchPriorOptions(cost=PatchCost(eps=0.002, rho=0.005, samples=1000), steps=150),
    ),
    "colour": Study(colour_textures, 64, PatchPriorOptions()),
}


def pairs(folder: Path, study: Study) -> Iterator[Pair]:
    """Two pairs of every texture."""
    found, side = study.textures(folder), study.side
    names = list(found)
    for number, (name, (image, other)) in enumerate(found.items()):
        alien = found[names[(number + 1) % len(names)]][0]
        patch = round(side * math.sqrt(0.2))
        for corner in (0, 1):
            crop = _crop(image, side, corner)
            clean = _crop(other, side, 3 - corner)
            spoilt = clean.clone()
            spoilt[:, 8 : 8 + patch, 8 : 8 + patch] = alien[:, 96 : 96 + patch, 96 : 96 + patch]
            yield Pair(f"{name} {corner}", crop, {"clean": clean, "spoilt": spoilt})


def rows(folder: Path, study: Study, part: int, parts: int) -> Iterator[dict[str, Any]]:
    """Metrics of every reference and transport, and of the interpolation, for some pairs."""
    distance = _lpips(folder)
    for pair in list(pairs(folder, study))[part::parts]:
        channels = len(pair.image)
        whole = degrade(pair.image.expand(3, -1, -1), STEPS, torch.Generator().manual_seed(1))
        start, degraded = bicubic(whole, STEPS)[:channels], whole[:channels]
        yield _row(pair, "none", "bicubic", start, distance, 0.0)
        for (kind, reference), name in product(pair.references.items(), TRANSPORTS):
            cost = replace(study.options.cost, marginal=name)
            began = time.process_time()
            made = restore_by_patches(
                degraded,
                spectral_degradation(STEPS, study.side, study.side),
                0.01,
                reference=reference,
                start=start,
                options=replace(study.options, cost=cost),
                generator=torch.Generator().manual_seed(0),
            ).image
            yield _row(pair, kind, name, made, distance, time.process_time() - began)


def _row(
    pair: Pair, reference: str, transport: str, image: Tensor, distance: Perceptual, seconds: float
) -> dict[str, Any]:
    image, clean = (one.expand(3, -1, -1) for one in (image, pair.image))
    error = mean_squared_error(image, clean)
    with torch.inference_mode():
        lpips = float(distance(clean[None])(image[None]))
    return {
        "pair": pair.name,
        "reference": reference,
        "transport": transport,
        "psnr": float(peak_signal_to_noise_ratio(error)),
        "ssim": structural_similarity(image, clean),
        "lpips": lpips,
        "seconds": round(seconds, 1),
    }


def report(found: list[dict[str, Any]]) -> str:
    """Means over pairs, and in how many of them one transport is above another."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault((row["reference"], row["transport"]), []).append(row)
    lines = []
    for (reference, transport), group in groups.items():
        means = (fmean(row[metric] for row in group) for metric in METRICS)
        numbers = "  ".join(f"{mean:.3f}" for mean in means)
        lines.append(f"{reference:>7} {transport:>12}  {numbers}  of {len(group)}")
    others = [name for name in TRANSPORTS if name != "semi"]
    for metric, reference, name in product(METRICS, ("clean", "spoilt"), others):
        lines.append(_order(groups, metric, (reference, "semi"), (reference, name)))
    for metric, name in product(METRICS, TRANSPORTS):
        lines.append(_order(groups, metric, ("spoilt", name), ("clean", name)))
    return "\n".join(lines)


def _order(
    groups: dict[tuple[str, str], list[dict[str, Any]]],
    metric: str,
    ours: tuple[str, str],
    theirs: tuple[str, str],
) -> str:
    """How a metric of one group differs from that of another, pair by pair."""
    first, second = ({row["pair"]: row[metric] for row in groups[name]} for name in (ours, theirs))
    changes = [first[pair] - second[pair] for pair in first.keys() & second.keys()]
    error = stdev(changes) / math.sqrt(len(changes))
    above = sum(change > 0 for change in changes)
    return (
        f"{metric} of {', '.join(ours)} against {', '.join(theirs)}: {fmean(changes):+.3f} ± "
        f"{error:.3f}, above in {above} of {len(changes)}"
    )


def _crop(image: Tensor, side: int, corner: int) -> Tensor:
    down, across = divmod(corner, 2)
    top, left = down * (image.shape[1] - side), across * (image.shape[2] - side)
    return image[:, top : top + side, left : left + side].clone()


def _texture(folder: Path, number: int) -> Path:
    return folder / "images" / "textures" / f"demo_texture_{number}.png"


def _read(path: Path, mode: str) -> Tensor:
    return _tensor(np.asarray(Image.open(path).convert(mode)))


def _halved(pixels: np.ndarray) -> Tensor:
    halves: Tensor = functional.avg_pool2d(_tensor(pixels)[None], 2)[0]
    return halves


def _tensor(pixels: np.ndarray) -> Tensor:
    """Grey or coloured pixels as (1, h, w) or (3, h, w) in [0, 1]."""
    return torch.from_numpy(np.atleast_3d(pixels).copy()).movedim(2, 0).float() / 255


def _lpips(folder: Path) -> Perceptual:
    os.environ.setdefault("TORCH_HOME", str(folder / "weights" / "torch_home"))
    return load_lpips("squeeze", "cpu")


def main() -> None:
    """Measure the pairs that the arguments name, or print what was measured."""
    if sys.argv[-1].endswith(".json"):
        print(report([row for file in sys.argv[1:] for row in json.loads(Path(file).read_text())]))
        return
    folder, out, study, part = sys.argv[1:]
    found = list[dict[str, Any]]()
    for row in rows(Path(folder), STUDIES[study], *map(int, part.split("/"))):
        found.append(row)
        Path(out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
