"""What a row of the fidelity table changed in each image against the input, and how surely."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from scipy.special import stdtrit

from tasks.io.artifacts.metric_registry import Metric
from tasks.io.artifacts.metrics import change_of

CONFIDENCE = 0.95
"""Of the interval around a difference that must leave out 0 for it to be better or worse."""

Verdict = Literal["better", "worse", "the same", ""]


class Difference(NamedTuple):
    """A metric's mean difference to the input over so many images, with its standard error."""

    value: float
    error: float | None
    images: int

    @classmethod
    def of(cls, row: Mapping[str, Any], metric: Metric) -> "Difference | None":
        """The difference in a row of the fidelity table; None where there is none."""
        change = change_of(metric)
        if change is None or row.get(change.column) is None:
            return None
        images = row.get(change.images) or 0
        return cls(row[change.column], row.get(change.error.column), images)

    def verdict(self, metric: Metric) -> Verdict:
        """Whether images got better, worse or did not change; empty where it may be chance.

        By Student's interval of ``CONFIDENCE``, which for few images is far wider than twice
        the standard error; that of a mean is the bootstrap's, √(1 − 1/n) of the one that t is
        made for.
        """
        if self.value == self.error == 0:
            return "the same"
        if self.error is None or self.images < 2:
            return ""
        freedom = self.images - 1
        error = self.error * math.sqrt(self.images / freedom)
        if abs(self.value) <= float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error:
            return ""
        return "better" if (self.value > 0) == (metric.better == "more") else "worse"

    def in_words(self, least: int) -> str:
        """The difference with its sign and error, on ``digits`` of ``least`` digits."""
        value, error = self.parts(self.digits(least))
        return f"{value} {error}".rstrip()

    def parts(self, digits: int) -> tuple[str, str]:
        """The difference with its sign, and ± its error, empty where there is none."""
        error = "" if self.error is None else f"± {self.error:.{digits}f}"
        rounded = round(self.value, digits) + 0.0  # as -0.0 + 0.0 is 0.0
        return f"{rounded:+.{digits}f}".replace("inf", "∞"), error

    def digits(self, least: int) -> int:
        """So many digits after the point that its error does not vanish, two more at most."""
        if not self.error or not math.isfinite(self.error):
            return least
        return min(max(least, -math.floor(math.log10(self.error))), least + 2)


def changes_at(
    alpha: float, rows: Iterable[Mapping[str, Any]], metrics: Mapping[str, Metric]
) -> dict[str, Difference]:
    """The differences at an alpha, by the names of the metrics that have one.

    Those of the written images go before those of the curve. The curve has none at alpha 1: its
    images are the input's there, and differ by rounding only.
    """
    at_alpha = [row for row in rows if row["alpha"] == alpha]
    found = {
        signal: {
            name: difference
            for row in at_alpha
            if row["signal"] == signal and (signal, alpha) != ("curve", 1)
            for name, metric in metrics.items()
            if (difference := Difference.of(row, metric)) is not None
        }
        for signal in ("curve", "enhanced")
    }
    return found["curve"] | found["enhanced"]
