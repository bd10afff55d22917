"""What a dial for low frequencies gains, with levels and without: tables of infra/docs/levels.md.

    python tests/benchmarks/levels/dials_study.py ../shared/data /tmp/levels noise50:taesd3 x4:taesd

measures what is missing in the folder, as ``study.py`` beside it does, and prints a table for each
case and codec. ``noise50:taesd3:100`` fits on 100 natural and 100 other restored images, unpaired.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from study import Bench, Variant, distance_at, to_bytes

from dot_kernels import transport_images
from dot_kernels.dials import LowBand, with_low_band

ALPHAS = (-0.4, -0.2, 0.0, 0.2, 0.45, 0.7)
LEVELS = ((), (1, 2, 3))
BANDS = (None, *(LowBand(share=0.0, sigma=sigma) for sigma in (1.0, 1.5, 2.0, 3.0)))
IMAGES = 40


def words(levels: tuple[int, ...], band: LowBand | None) -> str:
    """The name of a row."""
    of_levels = f"levels {' '.join(map(str, levels))}" if levels else "no levels"
    return of_levels + (f", low band kept, sigma {band.sigma:g}" if band else "")


def measure(case: str, codec: str, data: Path, folder: Path, unpaired: int = 0) -> list[dict]:
    """Rows of every way at every alpha, as far as missing made now.

    Args:
        case: of ``study.CASES``.
        codec: folder of its weights.
        data: folder of photographs and weights.
        folder: where rows are kept.
        unpaired: images of each side of an unpaired fit; 0 for a paired one.
    """
    kept = folder / f"dials-{case}-{codec}{f'-unpaired-{unpaired}' if unpaired else ''}.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {row["variant"] for row in rows}
    missing = [
        (levels, [band for band in BANDS if words(levels, band) not in done]) for levels in LEVELS
    ]
    if not any(bands for _, bands in missing):
        return rows
    fit = Variant(unpaired, pairing="unpaired") if unpaired else Variant(IMAGES)
    bench = Bench(case, data, folder, codec, fit.needs)
    with kept.open("a") as lines:
        for levels, bands in missing:
            for row in made(bench, replace(fit, levels=levels), bands):
                rows.append(row)
                print(json.dumps(row), file=lines, flush=True)
    return rows


def made(
    bench: Bench, variant: Variant, bands: list[LowBand | None]
) -> Iterator[dict[str, str | float]]:
    """The rows of some bands at every alpha, with one fit."""
    if not bands:
        return
    operator = bench.fit(variant)
    parts = [transport_images(x / 255, bench.codec, operator) for x in bench.input.split(10)]
    for band in bands:
        moved = [with_low_band(part, band) for part in parts]
        for alpha in ALPHAS:
            images = to_bytes(torch.cat([part.at(alpha) for part in moved]))
            yield {"variant": words(variant.levels, band), "alpha": alpha, **bench.metrics(images)}


def table(rows: list[dict]) -> str:
    """Every way at alpha 0, and its distance where PSNR is that of some alphas of the first."""
    plain = [row for row in rows if row["variant"] == words((), None)]
    wanted = [row for row in plain if row["alpha"] in (0.0, 0.2, 0.45, 0.7)]
    lines = [
        "| | PSNR | LPIPS | FD | FD at equal PSNR, of alpha 0, 0.2, 0.45, 0.7 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        first = next(row for row in own if row["alpha"] == 0)
        changes = [100 * (distance_at(own, row["psnr"], "fd") / row["fd"] - 1) for row in wanted]
        last = ", ".join(f"{change:+.0f} %" for change in changes)
        cells = [name, f"{first['psnr']:.2f}", f"{first['lpips']:.4f}", f"{first['fd']:.1f}", last]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; see the head of the module."""
    data, folder, *cases = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in cases:
        case, codec, *unpaired = each.split(":")
        rows = measure(case, codec, Path(data), Path(folder), *map(int, unpaired))
        print(f"\n## {each}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
