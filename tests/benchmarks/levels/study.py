"""What levels gain: the tables of infra/docs/levels.md.

    python tests/benchmarks/levels/study.py ../shared/data /tmp/levels noise50:taesd3 x4:taesd

measures what is missing in the folder and prints a table for each case and codec. Restored images
and finished rows are kept there, so a second call only prints. ``noise50:taesd3:4`` takes the first
four ways to fit, ``x4:taesd:unpaired`` and ``x4:taesd:200:`` those whose names have these letters;
a name begins with the number of images. ``x4gan`` restores for 3 s an image on one core.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    LevelledOperator,
    fit_levels,
    gelbrich_distance,
    patch_moments,
    solve_transport,
    transport_images,
)
from dot_kernels.degradations import Downscale, Noise, degrade
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.features.perceptual import load_lpips

CASES = {
    "noise50": ("cdncnn_color_sigma50.safetensors", [Noise(sigma=50 / 255)]),
    "x4": ("craft_x4.pth", [Downscale(factor=4, rounding=True)]),
    "blind25": ("dncnn_color_blind.safetensors", [Noise(sigma=25 / 255)]),
    "x4gan": ("realesrgan_x4plus.safetensors", [Downscale(factor=4, rounding=True)]),
}
ALPHAS = (0.0, 0.2, 0.45, 0.7)
RESTORED, SIDE, COUNT = 256, 128, 40
"""Sides of what is restored and of its centre, which is measured; images of a set."""

EVERY = 8
"""Of the photographs in the order of their names, the test has every eighth, and the fit those
four later. A fit of more images has others too, none of them in the test."""


@dataclass(frozen=True)
class Variant:
    """One way to fit an operator."""

    images: int
    levels: tuple[int, ...] = ()
    level_patch: int = 1
    level_ridge: float = 1e-5
    pairing: str = "paired"
    patch: int = 3

    @property
    def needs(self) -> int:
        """How many images of the fit it takes: each side of an unpaired one has its own."""
        return max(COUNT, self.images if self.pairing == "paired" else 2 * self.images)

    @property
    def words(self) -> str:
        """The row's name."""
        levels = "".join(map(str, self.levels)) or "none"
        parts = [f"{self.images}: levels {levels}"]
        parts += [f"p = {self.level_patch}"] if self.levels else []
        parts += [f"ridge {self.level_ridge:g}"] if self.level_ridge != 1e-5 else []
        parts += [self.pairing] if self.pairing != "paired" else []
        parts += [f"latent p = {self.patch}"] if self.patch != 3 else []
        return ", ".join(parts)


ALL = (0, 1, 2, 3)
VARIANTS = [
    Variant(40),
    Variant(40, ALL),
    Variant(10),
    Variant(10, ALL),
    Variant(40, ALL, 3),
    Variant(40, ALL[1:]),
    Variant(40, ALL, 1, 1e-3),
    Variant(20, (), pairing="unpaired"),
    Variant(20, ALL, pairing="unpaired"),
    Variant(10, ALL, 3),
    Variant(40, ALL, 3, 1e-3),
    Variant(40, ALL[1:], 3),
    Variant(10, (), pairing="unpaired"),
    Variant(10, ALL, pairing="unpaired"),
    Variant(40, (), pairing="unpaired"),
    Variant(40, ALL[1:], pairing="unpaired"),
    Variant(200),
    Variant(200, ALL[1:]),
    Variant(200, ALL),
    Variant(100, (), pairing="unpaired"),
    Variant(100, ALL[1:], pairing="unpaired"),
]
"""The most telling first."""


def variants(which: str) -> list[Variant]:
    """The first so many ways to fit, those with these letters in their names, or all of them."""
    if which.isdecimal():
        return VARIANTS[: int(which)]
    return [variant for variant in VARIANTS if which in variant.words]


def crops(paths: Sequence[Path]) -> Tensor:
    """The centres of images: (n, 3, h, w), uint8."""
    found = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        left, top = (image.width - RESTORED) // 2, (image.height - RESTORED) // 2
        box = (left, top, left + RESTORED, top + RESTORED)
        found.append(torch.from_numpy(np.array(image.crop(box))).movedim(2, 0))
    return torch.stack(found)


def restored(case: str, data: Path, folder: Path, count: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Clean and restored images (n, 3, 256, 256), uint8, of the sets ``fit`` and ``test``.

    Args:
        case: of ``CASES``.
        data: folder of photographs and weights.
        folder: where restored images are kept.
        count: images of the fit, at least as many as a set has.
    """
    paths = sorted(data.glob("images/imagenet_samples/*.JPEG"))
    first, test = paths[EVERY // 2 :: EVERY], paths[::EVERY]
    others = [path for path in paths if path not in {*first[:COUNT], *test}][: count - COUNT]
    sets = kept(case, {"fit": first[:COUNT], "test": test[:COUNT]}, data, folder / f"{case}.pt")
    if others:
        more = kept(case, {"more": others}, data, folder / f"{case}-{count}.pt")["more"]
        pairs = zip(sets["fit"], more, strict=True)
        sets["fit"] = tuple(torch.cat(both) for both in pairs)
    return sets


def kept(
    case: str, sets: dict[str, list[Path]], data: Path, file: Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """Clean and restored images of these sets, from a file or made now."""
    if not file.exists():
        from spandrel import ModelLoader

        checkpoint, steps = CASES[case]
        network = ModelLoader(device="cpu").load_from_file(
            str(data / "weights" / "restorers" / checkpoint)
        )
        network.eval().model.float()
        made = {}
        for number, (name, those) in enumerate(sets.items()):
            clean, generator = crops(those), torch.Generator().manual_seed(number)
            with torch.inference_mode():
                each = [network(degrade(x / 255, steps, generator)[None]) for x in clean]
            made[name] = clean, to_bytes(torch.cat(each).float())
        torch.save(made, file)
    return torch.load(file)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8."""
    return images.clamp(0, 1).mul(255).round().byte()


@dataclass
class Bench:
    """A case with a codec: images, latents and what is known of the ground truth."""

    case: str
    data: Path
    folder: Path
    codec_name: str
    count: int
    """Images of the fit."""

    def __post_init__(self) -> None:
        from diffusers import AutoencoderTiny

        module = AutoencoderTiny.from_pretrained(self.data / "weights" / self.codec_name)
        self.codec = AutoencoderCodec(module.float())
        low = (RESTORED - SIDE) // 2
        centre = (..., slice(low, low + SIDE), slice(low, low + SIDE))
        sets = restored(self.case, self.data, self.folder, self.count)
        self.truth, self.input = (each[centre] for each in sets["test"])
        self.natural, self.source = (
            torch.cat([self.codec.encode(part / 255) for part in each[centre].split(10)])
            for each in sets["fit"]
        )
        self.distances = load_lpips("squeeze", "cpu")(self.truth / 255)
        self.features = features_of(self.truth)

    def fit(self, variant: Variant) -> LevelledOperator:
        """The operator of a variant."""
        n = variant.images
        natural = self.natural[: variant.needs]
        source = self.source[:n]
        natural = natural[:n] if variant.pairing == "paired" else natural[-n:]
        sides = (patch_moments(each, variant.patch) for each in (source, natural))
        latent = solve_transport(*sides)
        return fit_levels(
            latent,
            source.split(5),
            natural.split(5),
            self.codec,
            levels=variant.levels,
            patch_size=variant.level_patch,
            ridge=variant.level_ridge,
        )

    def rows(self, operator: LevelledOperator) -> Iterator[dict[str, float]]:
        """Metrics of the test images at every alpha."""
        parts = [transport_images(x / 255, self.codec, operator) for x in self.input.split(10)]
        for alpha in ALPHAS:
            yield self.metrics(to_bytes(torch.cat([part.at(alpha) for part in parts]))) | {
                "alpha": alpha
            }

    def metrics(self, images: Tensor) -> dict[str, float]:
        """PSNR (dB), LPIPS and FD-squeezenet of images (n, 3, h, w), uint8."""
        error = (images.double() - self.truth.double()).square().mean(dim=(1, 2, 3)) / 255**2
        return {
            "psnr": float(-10 * error.log10().mean()),
            "lpips": float(self.distances(images / 255).mean()),
            "fd": gelbrich_distance(features_of(images), self.features),
        }


@cache
def extractor():
    """SqueezeNet, as the pipeline has it."""
    return load_extractor("squeezenet", "cpu")


def features_of(images: Tensor) -> GaussianMoments:
    """Moments of the features of images, uint8."""
    return GaussianMoments.of(torch.cat([extractor()(part)[0] for part in images.split(10)]))


def measure(case: str, codec: str, data: Path, folder: Path, which: str) -> list[dict]:
    """The rows of a case with a codec, of which those of some variants are made if missing."""
    kept_rows = folder / f"{case}-{codec}.jsonl"
    lines = kept_rows.read_text().splitlines() if kept_rows.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {row["variant"] for row in rows}
    missing = [variant for variant in variants(which) if variant.words not in done]
    if not missing:
        return rows
    bench = Bench(case, data, folder, codec, max(variant.needs for variant in missing))
    if not rows:
        rows = [{"variant": "input", "alpha": 1.0, "seconds": 0.0} | bench.metrics(bench.input)]
        kept_rows.write_text(json.dumps(rows[0]) + "\n")
    for variant in missing:
        start = process_time()
        operator = bench.fit(variant)
        seconds = process_time() - start
        for row in bench.rows(operator):
            facts = {"variant": variant.words, "seconds": seconds, **asdict(variant)}
            rows.append(facts | row)
            with kept_rows.open("a") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
    return rows


def distance_at(rows: Sequence[dict], psnr: float, name: str) -> float:
    """A metric where a curve has this PSNR, between its points."""
    ordered = sorted(rows, key=lambda row: row["psnr"])
    return float(np.interp(psnr, [r["psnr"] for r in ordered], [r[name] for r in ordered]))


def table(rows: Sequence[dict]) -> str:
    """Rows at alpha 0 in Markdown, and how each curve lies below that without levels."""
    lines = [
        "| images: levels | PSNR | LPIPS | FD | FD on the curve | LPIPS on the curve | fit (s) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = list(dict.fromkeys(row["variant"] for row in rows))
    for name in names:
        own = [row for row in rows if row["variant"] == name]
        first = own[0]
        cells = [name, f"{first['psnr']:.2f}", f"{first['lpips']:.4f}", f"{first['fd']:.1f}"]
        cells += [changes(own, rows, metric) for metric in ("fd", "lpips")]
        lines.append("| " + " | ".join([*cells, f"{first['seconds']:.0f}"]) + " |")
    return "\n".join(lines)


def changes(own: Sequence[dict], rows: Sequence[dict], metric: str) -> str:
    """The change against the curve without levels at equal PSNR, from the best to the worst."""
    plain = [
        row
        for row in rows
        if not row.get("levels", True)
        and all(row[fact] == own[0].get(fact) for fact in ("images", "pairing", "patch"))
    ]
    if not plain or not own[0].get("levels"):
        return ""
    plain += [row for row in rows if row["variant"] == "input"]
    shared = [row for row in own if row["psnr"] >= min(each["psnr"] for each in plain)]
    found = [100 * (row[metric] / distance_at(plain, row["psnr"], metric) - 1) for row in shared]
    return f"{min(found):+.0f} … {max(found):+.0f} %" if found else ""


def main() -> None:
    """Measure and print; see the head of the module."""
    data, folder, *wanted = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in wanted:
        case, codec, *which = each.split(":", 2)
        rows = measure(case, codec, Path(data), Path(folder), which[0] if which else "")
        print(f"\n## {case}, {codec}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
