"""What classes of patches and a second pass over latents gain: tables of infra/docs/levels.md.

    python tests/benchmarks/levels/further_study.py ../shared/data /tmp/levels noise50:taesd3

measures what is missing in the folder, as ``study.py`` beside it does, and prints a table for each
case and codec. Neither is part of the project, so both are written out here, patch by patch.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from study import Bench, Variant, distance_at, to_bytes
from torch import Tensor
from torch.nn.functional import fold, unfold

from dot_kernels import GaussianMoments, TransportOperator, solve_transport
from dot_kernels.dials import LowBand, with_low_band
from dot_kernels.enhancement import Transported
from dot_kernels.level_fitting import level_activations, solve_level
from dot_kernels.local_layers import LocalLayer
from dot_kernels.staged_codecs import StagedCodec, require_stages

IMAGES, PATCH, LEVELS = 40, 3, (1, 2, 3)
ALPHAS = (-0.4, -0.2, 0.0, 0.2, 0.45, 0.7)
KEPT = LowBand(share=0.0, sigma=1.5)

Map = Callable[[Tensor], Tensor]
"""From tensors (b, c, y, x) to others of the same shape."""


@dataclass(frozen=True)
class Way:
    """One way to fit."""

    name: str
    latent_classes: int = 1
    latent_passes: int = 1
    levels: tuple[int, ...] = ()
    level_classes: int = 1


WAYS = (
    Way("none"),
    Way("latents in three classes", 3),
    Way("latents twice", 1, 2),
    Way("levels", levels=LEVELS),
    Way("levels, latents in three classes", 3, levels=LEVELS),
    Way("levels, latents twice", 1, 2, LEVELS),
    Way("levels in three classes", levels=LEVELS, level_classes=3),
)


@dataclass(frozen=True)
class ClassedMap:
    """A map for each class of patches, of which the energy of a patch decides."""

    size: int
    bounds: Tensor
    """Energies between the classes."""
    centre: Tensor
    """(d,) from which energy is measured."""
    operators: Sequence[TransportOperator]

    def __call__(self, tensor: Tensor) -> Tensor:
        """Every patch moved by the map of its class, and averaged where patches overlap."""
        height, width = tensor.shape[2:]
        parts = []
        for image in tensor.split(1):
            patches = unfold(image.double(), self.size)[0].mT  # (n, d)
            classes = torch.bucketize(energy(patches, self.centre), self.bounds)
            moved = torch.empty_like(patches)
            for number, operator in enumerate(self.operators):
                own = classes == number
                moved[own] = (patches[own] - operator.source_mean) @ operator.matrix.mT
                moved[own] += operator.target_mean
            total = fold(moved.mT[None], (height, width), self.size)
            count = fold(torch.ones_like(moved.mT[None]), (height, width), self.size)
            parts.append((total / count).to(tensor))
        return torch.cat(parts)


def energy(patches: Tensor, centre: Tensor) -> Tensor:
    """Squared distance of patches (n, d) from a centre."""
    return (patches - centre).square().sum(dim=1)


def fitted(source: Tensor, natural: Tensor, size: int, classes: int, solve: Callable) -> ClassedMap:
    """The maps of patches of restored tensors to those at the same places of natural ones."""
    rows = [unfold(each.double(), size).movedim(1, 2).flatten(0, 1) for each in (source, natural)]
    centre = rows[0].mean(dim=0)
    energies = energy(rows[0], centre)
    shares = torch.arange(1, classes, dtype=torch.float64) / classes
    bounds = sorted_quantiles(energies, shares)
    found = torch.bucketize(energies, bounds)
    moments = [[GaussianMoments.of(side[found == k]) for side in rows] for k in range(classes)]
    return ClassedMap(size, bounds, centre, [solve(*both) for both in moments])


def sorted_quantiles(values: Tensor, shares: Tensor) -> Tensor:
    """Quantiles of more values than ``torch.quantile`` takes."""
    places = (shares * (len(values) - 1)).round().long()
    return values.sort().values[places]


def fit(bench: Bench, way: Way) -> tuple[Map, StagedCodec]:
    """The map of latents, and the codec whose decoder moves its activations."""
    source, natural = bench.source[:IMAGES], bench.natural[:IMAGES]
    maps, moved = list[ClassedMap](), source
    for _ in range(way.latent_passes):
        maps.append(fitted(moved, natural, PATCH, way.latent_classes, solve_transport))
        moved = maps[-1](moved)
    codec = require_stages(bench.codec)
    for level in way.levels:
        shown = [
            torch.cat([level_activations(z, decoder, level) for z in latents.split(5)])
            for latents, decoder in ((moved, codec), (natural, require_stages(bench.codec)))
        ]
        own = fitted(*shown, 1, way.level_classes, solve_level)
        stages = list(codec.stages)
        layer = LocalLayer(apply=own, channels=stages[level].channels)
        stages[level] = stages[level].then(layer)
        codec = codec.with_stages(stages)
    return partial(in_turn, maps), codec


def in_turn(maps: Sequence[Map], tensor: Tensor) -> Tensor:
    """A tensor after all maps."""
    for each in maps:
        tensor = each(tensor)
    return tensor


def transported(bench: Bench, images: Tensor, latent_map: Map, decoder: StagedCodec) -> Transported:
    """Images (b, 3, h, w) in [0, 1] as the project would have them, with these maps in place."""
    latents = bench.codec.encode(images)
    mapped = latent_map(latents)
    return Transported(
        images=images,
        latents=latents,
        mapped_latents=mapped,
        codec_images=bench.codec.decode(latents).to(images),
        mapped_images=decoder.decode(mapped).to(images),
        codec=bench.codec,
        operator=bench.fit(Variant(IMAGES)),  # which interpolation in the image does not need
        fold="uniform",
    )


def measure(case: str, codec: str, data: Path, folder: Path) -> list[dict]:
    """Rows of every way at every alpha, as far as missing made now."""
    kept = folder / f"further-{case}-{codec}.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {row["way"] for row in rows}
    missing = [way for way in WAYS if named(way, None) not in done]
    bench = Bench(case, data, folder, codec, IMAGES) if missing else None
    with kept.open("a") as lines:
        for way in missing:
            new = list(made(bench, way))
            rows += new
            lines.writelines(json.dumps(row) + "\n" for row in new)
            lines.flush()
    return rows


def named(way: Way, band: LowBand | None) -> str:
    """The name of a row."""
    return way.name + (", low frequencies kept" if band else "")


def made(bench: Bench, way: Way) -> Iterator[dict[str, str | float]]:
    """The rows of a way at every alpha, with low frequencies moved and kept."""
    latent_map, decoder = fit(bench, way)
    parts = [transported(bench, x / 255, latent_map, decoder) for x in bench.input.split(10)]
    for band in (None, KEPT):
        moved = [with_low_band(part, band) for part in parts]
        for alpha in ALPHAS:
            images = to_bytes(torch.cat([part.at(alpha) for part in moved]))
            yield {"way": named(way, band), "alpha": alpha, **bench.metrics(images)}


def table(rows: Sequence[dict]) -> str:
    """Every way at alpha 0, and its distance where PSNR is that of some alphas of the first."""
    plain = [row for row in rows if row["way"] == WAYS[0].name]
    wanted = [row for row in plain if row["alpha"] in (0.0, 0.2, 0.45, 0.7)]
    lines = ["| | PSNR | LPIPS | FD | 0 | 0.2 | 0.45 | 0.7 |", "| --- |" + " --- |" * 7]
    for name in dict.fromkeys(row["way"] for row in rows):
        own = [row for row in rows if row["way"] == name]
        first = next(row for row in own if row["alpha"] == 0)
        changes = [100 * (distance_at(own, row["psnr"], "fd") / row["fd"] - 1) for row in wanted]
        cells = [name, f"{first['psnr']:.2f}", f"{first['lpips']:.4f}", f"{first['fd']:.1f}"]
        lines.append(
            "| " + " | ".join([*cells, *(f"{change:+.0f} %" for change in changes)]) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print; see the head of the module."""
    data, folder, *cases = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in cases:
        case, codec = each.split(":")
        print(f"\n## {case}, {codec}\n\n{table(measure(case, codec, Path(data), Path(folder)))}")


if __name__ == "__main__":
    main()
