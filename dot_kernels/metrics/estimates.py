"""What a fidelity metric returns: a value together with its statistical error."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A metric of a sample, and its spread over other samples of the same size.

    ``error`` is in the unit of ``value``, and None where it cannot be estimated.
    """

    value: float
    error: float | None
