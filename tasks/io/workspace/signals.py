"""Signals: what is scored, and by which names folders and tables know it."""

from collections.abc import Sequence
from typing import NamedTuple


class Signal(NamedTuple):
    """What is scored: the enhanced images at an alpha, the curve, or a control.

    ``curve`` with an alpha is one of its points. The controls are ``input`` (x*, as it
    came), ``codec`` (D(E(x)) of the reference) and ``codec_input`` (D(E(x*))).
    """

    name: str
    alpha: float | None = None

    @property
    def folder(self) -> str:
        """The signal's folder name."""
        if self.alpha is None:
            return self.name
        return f"{'curve/' if self.name == 'curve' else ''}alpha{self.alpha:+.2f}"

    @property
    def label(self) -> str:
        """What tables call the signal."""
        return self.name if self.alpha is None else f"alpha {self.alpha:g}"


CONTROLS = (Signal("input"), Signal("codec"), Signal("codec_input"))


CURVE = Signal("curve")


def points_of(signal: Signal, alphas: Sequence[float]) -> tuple[Signal, ...]:
    """The points of the curve; any other signal is its own only one."""
    return tuple(Signal("curve", alpha) for alpha in alphas) if signal == CURVE else (signal,)
