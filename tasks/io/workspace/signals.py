"""Signals: the sets of images that are scored, and their names in folders and tables."""

from collections.abc import Sequence
from typing import NamedTuple


class Signal(NamedTuple):
    """A set of images that is scored: enhanced at an alpha, the curve, the map, or a control.

    ``curve`` with an alpha is one of its points. ``map`` with a share is the curve at that share
    of low frequencies, and with an alpha too one of its points. The controls are ``input`` (x*,
    as it came), ``codec`` (D(E(x)) of the reference) and ``codec_input`` (D(E(x*))).
    """

    name: str
    alpha: float | None = None
    low_share: float | None = None
    """Only of the map; all other images have the share of the configuration."""

    @property
    def folder(self) -> str:
        """The path of the signal's folder below that of an operator."""
        line = self.name if self.low_share is None else f"map/low_share{self.low_share:+.2f}"
        if self.alpha is None:
            return line
        return f"{'' if self.name == 'enhanced' else f'{line}/'}alpha{self.alpha:+.2f}"

    @property
    def label(self) -> str:
        """The name of the signal in tables."""
        alpha = self.name if self.alpha is None else f"alpha {self.alpha:g}"
        return alpha if self.low_share is None else f"{alpha}, low_share {self.low_share:g}"

    @property
    def is_curve(self) -> bool:
        """Whether it is the curve, one of the map, or a point of them: no images are written."""
        return self.name in ("curve", "map")

    @property
    def has_points(self) -> bool:
        """Whether it stands for many sets of images, one for each alpha."""
        return self.is_curve and self.alpha is None


CONTROLS = (Signal("input"), Signal("codec"), Signal("codec_input"))
"""The signals that no operator has changed."""

INPUT, CODEC, CODEC_INPUT = CONTROLS

CURVE = Signal("curve")
"""All points of the curve together, which have one table of metrics."""


def points_of(signal: Signal, alphas: Sequence[float]) -> tuple[Signal, ...]:
    """Return the points of the curve or map, one for each alpha; any other signal alone."""
    if not signal.has_points:
        return (signal,)
    return tuple(signal._replace(alpha=alpha) for alpha in alphas)


def map_of(shares: Sequence[float]) -> tuple[Signal, ...]:
    """Return the curves of the map, one for each share of low frequencies."""
    return tuple(Signal("map", low_share=share) for share in shares)
