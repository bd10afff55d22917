"""Which of the codecs that were tried is best for the images, and a table of all of them."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.direct.codec_trials import ENOUGH, Trial
from tasks.direct.judges import Judges

SHOWN_ALPHAS = (0.0, 0.5)
"""Of which the table has lines, and the sheet pictures."""

Numbers = NDArray[np.float64]


class Spread(NamedTuple):
    """A mean over images with its standard error; None of one image."""

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float] | Numbers) -> "Spread | None":
        """Return that of the finite values; None where there are none."""
        known = np.asarray([value for value in values if math.isfinite(value)])
        if not len(known):
            return None
        error = float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else None
        return cls(float(known.mean()), error)

    def told(self, digits: int) -> str:
        """Return the mean with its error."""
        error = "" if self.error is None else f" ± {self.error:.{digits}f}"
        return f"{self.mean:.{digits}f}{error}"


def verdict(trials: Sequence[Trial], judges: Judges) -> str:
    """Return in a sentence which codec is best for the images, and how sure that is.

    With ground truth and LPIPS it is the one with the lowest LPIPS at one PSNR, the highest that
    the full transport has with any of them: each is taken at the alpha at which it has that.
    Otherwise it is the one with the lowest Fréchet distance at alpha 0, if that is known.
    """
    if len(trials) < 2:
        return "One codec alone cannot be compared; name others beside it."
    if all(trial.at[0.0].lpips for trial in trials):
        level = common_psnr(trials)
        found = sorted(
            ((lpips_at(trial, level), trial.name) for trial in trials),
            key=lambda each: float(each[0].mean()),
        )
        (best, name), (second, other) = found[:2]
        gap = Spread.of(second - best)
        sure = gap is not None and gap.error is not None and gap.mean > 2 * gap.error
        lead = "" if gap is None else f", {gap.told(4)} less than {other}"
        chance = "" if sure else "; that may be chance, more --images tell"
        return (
            f"Best for these images: {name}. At {level:.2f} dB its {judges.lpips_name} is "
            f"{best.mean():.4f}{lead}, image by image{chance}."
        )
    distances = {t.name: d for t in trials if (d := t.at[0.0].frechet) is not None}
    if len(distances) == len(trials):
        name = min(distances, key=distances.__getitem__)
        return (
            f"Best for these images: {name}, whose {judges.frechet_name} at alpha 0 is the lowest."
        )
    return (
        "Which is best is not told: that takes ground truth (corpora.reference) and LPIPS, or the "
        f"weights of evaluate.features and --images {ENOUGH} or more. Look at the sheet."
    )


def gains_of_levels(trials: Sequence[Trial], judges: Judges) -> list[str]:
    """Return a sentence for each codec that was tried with levels: what they gain and cost."""
    named = {trial.name: trial for trial in trials}
    return [
        f"Levels of {plain.name}: {_gain(trial, plain, judges)}the fit takes {trial.fit:.1f} s in "
        f"place of {plain.fit:.1f}, an image {trial.seconds:.2f} s in place of {plain.seconds:.2f}."
        for trial in trials
        if trial.plain is not None
        for plain in [named[trial.plain]]
    ]


def _gain(trial: Trial, plain: Trial, judges: Judges) -> str:
    """Return what a trial with levels gains over that without, as the begin of a sentence."""
    found, distances = list[str](), [each.at[0.0].frechet for each in (trial, plain)]
    if trial.at[0.0].lpips:
        psnr = common_psnr([trial, plain])
        change = Spread.of(lpips_at(trial, psnr) - lpips_at(plain, psnr))
        if change is not None:
            found.append(
                f"at {psnr:.2f} dB {judges.lpips_name} changes by {change.told(4)}, image by image"
            )
    if None not in distances:
        found.append(
            f"at alpha 0 {judges.frechet_name} is {distances[0]:.1f} in place of {distances[1]:.1f}"
        )
    return "".join(f"{part}; " for part in found)


def common_psnr(trials: Sequence[Trial]) -> float:
    """Return the highest PSNR of alpha 0 of any codec, no higher than that of the input."""
    strongest = max(_mean(trial.at[0.0].psnr) for trial in trials)
    return min(strongest, _mean(trials[0].at[1.0].psnr))


def lpips_at(trial: Trial, level: float) -> Numbers:
    """Return the LPIPS of every image at the alpha at which their mean PSNR is this level.

    Both are taken to be linear between the alphas that were tried. Where no alpha has this PSNR,
    it is that with the nearest.
    """
    alphas = sorted(trial.at)
    psnr = {alpha: _mean(trial.at[alpha].psnr) for alpha in alphas}
    lpips = {alpha: np.asarray(trial.at[alpha].lpips) for alpha in alphas}
    for low, high in pairwise(alphas):
        if min(psnr[low], psnr[high]) <= level <= max(psnr[low], psnr[high]):
            rise = psnr[high] - psnr[low]
            share = (level - psnr[low]) / rise if rise else 0.0
            return (1 - share) * lpips[low] + share * lpips[high]
    return lpips[min(alphas, key=lambda alpha: abs(psnr[alpha] - level))]


def table(trials: Sequence[Trial], judges: Judges) -> tuple[list[str], list[list[str]]]:
    """Return titles and lines for a terminal: what each codec does at two alphas, and its costs."""
    scored = bool(trials[0].at[1.0].psnr)
    titles = ["codec", "alpha", "PSNR ↑ (dB)", f"{judges.lpips_name} ↓", "kept (dB)"]
    titles += [f"{judges.frechet_name} ↓", "s/image", "MB", "latents"]
    lines = [["input", "", *_values(trials[0], 1.0), "", "", ""]]
    for trial in trials:
        for alpha in SHOWN_ALPHAS:
            costs = _costs(trial) if alpha == SHOWN_ALPHAS[0] else ["", "", ""]
            lines.append([trial.name, f"{alpha:g}", *_values(trial, alpha), *costs])
    kept = [0, 1, *(n for n in range(2, len(titles)) if any(line[n] for line in lines))]
    kept = [n for n in kept if n != 4 or not scored]
    return [titles[n] for n in kept], [[line[n] for n in kept] for line in lines]


def _values(trial: Trial, alpha: float) -> list[str]:
    found = trial.at[alpha]
    columns = ((found.psnr, 2), (found.lpips, 4), (found.change, 2))
    spreads = [(Spread.of(values), digits) for values, digits in columns]
    told = ["" if spread is None else spread.told(digits) for spread, digits in spreads]
    return [*told, "" if found.frechet is None else f"{found.frechet:.1f}"]


def _costs(trial: Trial) -> list[str]:
    memory = "" if trial.memory is None else f"{(trial.weights + trial.memory) / 1e6:.0f}"
    size = f"{trial.channels} × h/{trial.factor} × w/{trial.factor}"
    return [f"{trial.seconds:.2f}", memory, size]


def _mean(values: Sequence[float]) -> float:
    spread = Spread.of(values)
    return math.nan if spread is None else spread.mean
