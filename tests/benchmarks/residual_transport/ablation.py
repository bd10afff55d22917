"""What the parts of residual-conditioned transport bring: the table of a small network.

    python tests/benchmarks/residual_transport/ablation.py ../shared/data /tmp/rows

trains what is missing in the folder and prints the table. Finished rows are kept there, so a second
call only prints. Further words, as ``streaks`` or ``paired``, take the rows whose names have them;
without any, all are taken, in fifteen minutes of one core. Networks of 12 channels are trained on
crops of 32² pixels from twenty photographs, and tried out on the centres of forty others. Where
nothing is said of pairs, the crops that are degraded and those that are clean are drawn apart.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
import torch
from PIL import Image
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LinearLR

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.residual_networks import Passes, Potential, ResidualMap, draw_weights
from dot_kernels.residual_transport import TransportLoss
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.features.perceptual import load_lpips

WIDTH, CROP, BATCH, STEPS = 12, 32, 8, 800
"""Channels at the first level, side of a crop in pixels, crops and turns."""

RATES = (1e-3, 1e-4)
"""Adam's at the beginning, of the map and the potential; they fall to 0 linearly."""

MEMORY = (0.0, 0.9)
"""Adam's averages of gradients, none, and of their squares."""

PHOTOGRAPHS, TRIED, SIDE = 20, 40, 128
"""Photographs to train on, those to try out, and the side of their centres."""

COSTS = {
    "squares": TransportLoss(gamma=0.0),
    "spectrum": TransportLoss(distance=0.0, gamma=0.1),
    "both": TransportLoss(gamma=0.1),
}
"""c alone, g alone with p = 1, and c + g."""


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    degradation: str
    cost: str
    passes: Passes
    paired: float = 0.0

    @property
    def words(self) -> str:
        """The row's name."""
        passes = "1 pass" if self.passes == 1 else f"{self.passes} passes"
        parts = [f"{self.degradation}: {self.cost}", passes]
        parts += [f"paired {self.paired:g}"] if self.paired else []
        return ", ".join(parts)


VARIANTS = [
    *(Variant("noise", "both", passes, paired=100.0) for passes in (2, 1)),
    *(
        Variant(degradation, cost, passes)
        for degradation in ("noise", "streaks")
        for cost in ("both", "squares", "spectrum")
        for passes in (2, 1)
    ),
]


def photographs(data: Path) -> tuple[list[Tensor], Tensor]:
    """Photographs (3, h, w) to train on, and centres (n, 3, h, w) of others; all in [0, 1]."""
    paths = sorted(data.glob("images/imagenet_samples/*.JPEG"))
    first, others = (
        [
            torch.from_numpy(np.array(Image.open(path).convert("RGB"))).movedim(2, 0) / 255
            for path in each
        ]
        for each in (paths[4::8][:PHOTOGRAPHS], paths[::8][:TRIED])
    )
    corners = [((x.shape[1] - SIDE) // 2, (x.shape[2] - SIDE) // 2) for x in others]
    centres = [
        x[:, top : top + SIDE, left : left + SIDE]
        for x, (top, left) in zip(others, corners, strict=True)
    ]
    return first, torch.stack(centres)


def crops(images: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """A batch of crops at random places."""

    def draw(end: int) -> int:
        return int(torch.randint(end, (1,), generator=generator))

    found = []
    for _ in range(BATCH):
        image = images[draw(len(images))]
        top, left = (draw(length - CROP + 1) for length in image.shape[1:])
        found.append(image[:, top : top + CROP, left : left + CROP])
    return torch.stack(found)


def degraded(images: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Images with noise of sigma 50/255, or bright streaks like rain, all of one direction."""
    if kind == "noise":
        noisy = images + 50 / 255 * torch.randn(images.shape, generator=generator)
        return noisy.clamp(0, 1)
    drops = torch.rand(images[:, :1].shape, generator=generator) < 0.01
    line = torch.eye(9)[None, None]
    streaks = functional.conv2d(drops.float(), line, padding=4)
    return (images + 0.5 * streaks.clamp(max=1)).clamp(0, 1)


def trained(variant: Variant, images: Sequence[Tensor], steps: int = STEPS) -> ResidualMap:
    """A map after so many turns of a step of the map and a step of the potential."""
    generator = torch.Generator().manual_seed(0)
    networks = ResidualMap(width=WIDTH, passes=variant.passes), Potential(width=WIDTH)
    for network in networks:
        draw_weights(network, generator)
        network.to(memory_format=torch.channels_last)
    map_, potential = networks
    loss = replace(COSTS[variant.cost], paired=variant.paired)
    turns = [_Turns(*each, steps) for each in zip(networks, RATES, strict=True)]
    for _ in range(steps):
        pairs = crops(images, generator)
        spoilt = degraded(pairs, variant.degradation, generator)
        turns[0].take(loss.of_map(map_, potential, spoilt, pairs))
        others = pairs if variant.paired else crops(images, generator)
        turns[1].take(loss.of_potential(map_, potential, spoilt, others, generator))
    return map_.eval()


class _Turns:
    """The steps of one network."""

    def __init__(self, network: nn.Module, rate: float, steps: int) -> None:
        self.optimiser = torch.optim.Adam(network.parameters(), lr=rate, betas=MEMORY)
        self.schedule = LinearLR(self.optimiser, 1.0, 0.0, total_iters=steps)

    def take(self, loss: Tensor) -> None:
        """One step; gradients that the other network's turn has left are dropped before."""
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()


class Bench:
    """Photographs, and metrics of restored ones."""

    def __init__(self, data: Path) -> None:
        os.environ.setdefault("TORCH_HOME", str(data / "weights" / "torch_home"))
        self.train, self.truth = photographs(data)
        self.distances = load_lpips("squeeze", "cpu")(self.truth)
        self.features = features_of(self.truth)

    def input(self, degradation: str) -> Tensor:
        """Degraded images (n, 3, h, w), the same ones for all variants."""
        return degraded(self.truth, degradation, torch.Generator().manual_seed(1))

    def metrics(self, images: Tensor) -> dict[str, float]:
        """PSNR (dB), LPIPS and FD-squeezenet of images (n, 3, h, w), clamped here."""
        images = images.clamp(0, 1)
        error = (images - self.truth).double().square().mean(dim=(1, 2, 3))
        return {
            "psnr": float(-10 * error.log10().mean()),
            "lpips": float(self.distances(images).mean()),
            "fd": gelbrich_distance(features_of(images), self.features),
        }

    def row(self, degradation: str, variant: Variant | None) -> dict[str, float]:
        """Metrics of degraded images as they are, or restored by a map trained in this way."""
        images, seconds = self.input(degradation), 0.0
        if variant is not None:
            start = process_time()
            network = trained(variant, self.train)
            seconds = process_time() - start
            with torch.inference_mode():
                images = torch.cat([network(part) for part in images.split(10)])
        return self.metrics(images) | {"seconds": seconds}


@cache
def extractor():
    """SqueezeNet, as the pipeline has it."""
    return load_extractor("squeezenet", "cpu")


def features_of(images: Tensor) -> GaussianMoments:
    """Moments of the features of images in [0, 1], rounded to bytes."""
    whole = images.mul(255).round().byte()
    return GaussianMoments.of(torch.cat([extractor()(part)[0] for part in whole.split(10)]))


def measure(data: Path, folder: Path, wanted: Sequence[str] = ("",)) -> dict[str, dict]:
    """The rows by their names, those that are wanted being made if missing."""
    bench, found = None, {}
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{kind}: input": (kind, None) for kind in ("noise", "streaks")}
    named |= {variant.words: (variant.degradation, variant) for variant in VARIANTS}
    for name, what in named.items():
        file = folder / f"{re.sub('[^a-z0-9]+', '-', name)}.json"
        if not file.exists() and any(each in name for each in wanted):
            bench = bench or Bench(data)
            file.write_text(json.dumps(bench.row(*what)))
        if file.exists():
            found[name] = json.loads(file.read_text())
    return found


def table(rows: dict[str, dict]) -> str:
    """The rows in Markdown."""
    lines = [
        "| trained by | PSNR | LPIPS | FD-squeezenet | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        cells = [f"{row['psnr']:.2f}", f"{row['lpips']:.3f}", f"{row['fd']:.1f}"]
        lines.append("| " + " | ".join([name, *cells, f"{row['seconds']:.0f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, measure and print; see the head of the module."""
    data, folder, *wanted = sys.argv[1:]
    with threadpool_limits(1):
        print(table(measure(Path(data), Path(folder), wanted or [""])))


if __name__ == "__main__":
    main()
