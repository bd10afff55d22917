"""The gains of single images over the input, as numbers and in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


class Gains:
    """The changes of a metric in all images: eight bytes for each, whatever else is known."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []

    def add(self, values: Sequence[float]) -> None:
        """Take in the changes of some images; infinite ones are left out."""
        found = np.array(values, dtype=np.float64)
        self._parts.append(found[np.isfinite(found)])

    @property
    def values(self) -> NDArray[np.float64]:
        """All of them, in the order in which they came."""
        return np.concatenate(self._parts) if self._parts else np.empty(0)


def gains_in_words(gains: Mapping[str, Gains]) -> str:
    """The histograms in words, for those who do not see them."""
    parts = []
    for title, found in gains.items():
        if len(values := found.values) > 1:
            low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
            parts.append(f"{title}: median {middle:+.3g}, 80 % of images {low:+.3g} to {high:+.3g}")
    return f"Changes of single images against the input. {'; '.join(parts)}."
