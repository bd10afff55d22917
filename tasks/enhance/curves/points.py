"""Which points of the curve and of the map a pass measures, and which of them networks see."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.io.workspace import CURVE, Signal, points_of


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves whose tables are missing: that of the configuration, and those of the map."""

    lines: tuple[Signal, ...] = ()
    alphas: tuple[float, ...] = ()
    """Of the points of each."""
    on_curve: bool = False
    """Whether the networks of the metrics see the points of the curve; those of the map they do."""

    @classmethod
    def of(cls, tables: Iterable[Signal], alphas: tuple[float, ...], *, on_curve: bool) -> "Curves":
        """Return the curves among the signals of missing tables."""
        return cls(tuple(each for each in tables if each.has_points), alphas, on_curve)

    @property
    def seen(self) -> tuple[Signal, ...]:
        """The points that the networks of the metrics see."""
        return tuple(point for line in self.lines for point in self.seen_of(line))

    def points(self, line: Signal) -> tuple[Signal, ...]:
        """Return the points of a curve."""
        return points_of(line, self.alphas)

    def seen_of(self, table: Signal) -> tuple[Signal, ...]:
        """Return what the networks see of a table: points of a curve, or the signal itself."""
        return () if table == CURVE and not self.on_curve else self.points(table)
