"""Restores textures by the patches of clean and of spoilt references: the orders of a paper.

Mignon et al. 2023 compare marginals of the transport on textures whose reference has defects
(Table I). Here seven textures are taken, three of them from scikit-image, and of each two pairs
of a crop to restore and another one, from the opposite corner, as its reference. A reference is
spoilt by a square of a fifth of its area, cut from the next texture. Crops are blurred by a
Gaussian of 16 × 16 with sigma 2, every fourth pixel of which is kept, with noise of sigma 0.01.

    python tests/benchmarks/patch_prior/transports_study.py ../shared/data rows-0.json 0/3

measures the first of three parts of the pairs: a row for each pair, reference and transport.

    python tests/benchmarks/patch_prior/transports_study.py rows-*.json

prints means, and in how many pairs one transport is above another. All takes about seven
minutes of processor time.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
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
SIDE = 64
"""Of crops and references, in pixels."""

TRANSPORTS = {
    "balanced": {"marginal": "balanced"},
    "semi": {"marginal": "semi", "rho": 0.005},
    "unbalanced": {"marginal": "unbalanced", "rho": 0.005},
    "wpp": {"marginal": "wpp"},
}


class Pair(NamedTuple):
    """A texture to restore, its reference, and the same reference with a defect."""

    name: str
    image: Tensor
    references: dict[str, Tensor]


def textures(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Grey textures (3, h, w) of 256 pixels a side or more, each with what references are of."""
    own = {name: _halved(getattr(data, name)()) for name in ("brick", "gravel", "grass")}
    given = {
        f"texture {n}": _read(folder / "images" / "textures" / f"demo_texture_{n}.png")
        for n in (1, 2, 3)
    }
    material = folder / "images" / "texture_reference"
    pair = _read(material / "img_hr.png"), _read(material / "img_learn.png")
    return {name: (x, x) for name, x in (own | given).items()} | {"material": pair}


def pairs(folder: Path, side: int) -> Iterator[Pair]:
    """Two pairs of every texture."""
    found = textures(folder)
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


def rows(folder: Path, part: int, parts: int) -> Iterator[dict[str, Any]]:
    """Metrics of every reference and transport, and of the interpolation, for some pairs."""
    distance = _lpips(folder)
    for pair in list(pairs(folder, SIDE))[part::parts]:
        degraded = degrade(pair.image, STEPS, torch.Generator().manual_seed(1))
        start, degraded = bicubic(degraded, STEPS)[:1], degraded[:1]
        yield _row(pair, "none", "bicubic", start, distance, 0.0)
        for (kind, reference), name in product(pair.references.items(), TRANSPORTS):
            cost = PatchCost(eps=0.002, samples=1000, **TRANSPORTS[name])
            began = time.process_time()
            made = restore_by_patches(
                degraded,
                spectral_degradation(STEPS, SIDE, SIDE),
                0.01,
                reference=reference[:1],
                start=start,
                options=PatchPriorOptions(cost=cost, steps=150),
                generator=torch.Generator().manual_seed(0),
            ).image
            yield _row(pair, kind, name, made, distance, time.process_time() - began)


def _row(
    pair: Pair, reference: str, transport: str, image: Tensor, distance: Perceptual, seconds: float
) -> dict[str, Any]:
    image = image.expand(3, -1, -1)
    error = mean_squared_error(image, pair.image)
    with torch.inference_mode():
        lpips = float(distance(pair.image[None])(image[None]))
    return {
        "pair": pair.name,
        "reference": reference,
        "transport": transport,
        "psnr": float(peak_signal_to_noise_ratio(error)),
        "ssim": structural_similarity(image, pair.image),
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


def _read(path: Path) -> Tensor:
    return _grey(np.asarray(Image.open(path).convert("L")))


def _halved(pixels: np.ndarray) -> Tensor:
    halves: Tensor = functional.avg_pool2d(_grey(pixels)[None], 2)[0]
    return halves


def _grey(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).float().expand(3, -1, -1) / 255


def _lpips(folder: Path) -> Perceptual:
    os.environ.setdefault("TORCH_HOME", str(folder / "weights" / "torch_home"))
    return load_lpips("squeeze", "cpu")


def main() -> None:
    """Measure the pairs that the arguments name, or print what was measured."""
    *files, last = sys.argv[1:]
    if last.endswith(".json"):
        print(report([row for file in sys.argv[1:] for row in json.loads(Path(file).read_text())]))
        return
    folder, out = map(Path, files)
    found = list[dict[str, Any]]()
    for row in rows(folder, *map(int, last.split("/"))):
        found.append(row)
        out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
