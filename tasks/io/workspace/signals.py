"""Signals: the sets of images that are scored, and their names in folders and tables."""

from collections.abc import Sequence
from typing import NamedTuple


class Signal(NamedTuple):
    """A set of images that is scored: enhanced at an alpha, the curve, or a control.

    ``curve`` with an alpha is one of its points. The controls are ``input`` (x*, as it
    came), ``codec`` (D(E(x)) of the reference) and ``codec_input`` (D(E(x*))).
    """

    name: str
    alpha: float | None = None

    @property
    def folder(self) -> str:
        """The path of the signal's folder below that of an operator."""
        if self.alpha is None:
            return self.name
        return f"{'curve/' if self.name == 'curve' else ''}alpha{self.alpha:+.2f}"

    @property
    def label(self) -> str:
        """The name of the signal in tables."""
        return self.name if self.alpha is None else f"alpha {self.alpha:g}"


CONTROLS = (Signal("input"), Signal("codec"), Signal("codec_input"))
"""The signals that no operator has changed."""

INPUT, CODEC, CODEC_INPUT = CONTROLS

CURVE = Signal("curve")
"""All points of the curve together, which have one table of metrics."""


def points_of(signal: Signal, alphas: Sequence[float]) -> tuple[Signal, ...]:
    """Return the points of the curve, one for each alpha; any other signal alone."""
    return tuple(Signal("curve", alpha) for alpha in alphas) if signal == CURVE else (signal,)
