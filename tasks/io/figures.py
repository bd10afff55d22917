"""Figures of a report, drawn without a screen."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

PERCEPTION = (("lpips", "LPIPS"), ("gelbrich", "Gelbrich distance of latent patches"))
"""What the curve's vertical axis shows: the first of these that was measured."""

_BLUE, _ORANGE = "#0072B2", "#D55E00"  # apart for colour-blind readers (Okabe & Ito)


def perception_distortion_curve(rows: Sequence[Mapping[str, Any]], lpips: str) -> bytes | None:
    """A PNG of PSNR against a perceptual distance, a mark per alpha.

    Args:
        rows: of the summary.
        lpips: what to call LPIPS.

    Returns:
        The picture, or None where there is no PSNR to show.
    """
    enhanced = [row for row in rows if row["signal"] == "enhanced" and _shown(row.get("psnr"))]
    measure = next(
        (pair for pair in PERCEPTION if any(_shown(r.get(pair[0])) for r in enhanced)), None
    )
    if not enhanced or measure is None:
        return None
    column, label = measure[0], lpips if measure[0] == "lpips" else measure[1]
    points = sorted((row["alpha"], row["psnr"], row[column]) for row in enhanced)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([p[1] for p in points], [p[2] for p in points], "o-", color=_BLUE, label="enhanced")
    for alpha, psnr, value in points:
        axes.annotate(f"α = {alpha:g}", (psnr, value), (6, 6), textcoords="offset points")
    for row in rows:
        if row["signal"] == "input" and _shown(row.get("psnr")) and _shown(row.get(column)):
            axes.plot(row["psnr"], row[column], "s", color=_ORANGE, label="input x*")
    axes.set_xlabel("PSNR in dB (more is better)")
    axes.set_ylabel(f"{label}\n(less is better)")
    axes.grid(alpha=0.3)
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=130, metadata={"Software": None})
    return out.getvalue()


def _shown(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
