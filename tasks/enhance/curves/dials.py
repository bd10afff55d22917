"""Transported images with low frequencies at the share of the configuration, and at others.

Axes: b images, h and w their height and width.
"""

from torch import Tensor

from dot_kernels import Transported
from dot_kernels.dials import LowBand, with_low_band
from tasks.config.sections import Enhance
from tasks.io.workspace import Signal


def band_of(options: Enhance, signal: Signal) -> LowBand | None:
    """Return what low frequencies do in the images of a signal; None where all move alike."""
    if signal.low_share is None:
        return options.low_band
    return options.model_copy(update={"low_share": signal.low_share}).low_band


class TwoDials:
    """A batch of transported images whose low frequencies take any share of the change.

    The images of a share are made when they are asked for, once.
    """

    def __init__(self, one_dial: Transported, options: Enhance, low: Tensor | None = None) -> None:
        """Take the images as one dial has them.

        Args:
            one_dial: all frequencies moved alike.
            options: the share of the configuration, and which frequencies are low.
            low: the low band (b, 3, h, w) of the direction, if it is known, as it must be where
                the images are bands of a larger one.
        """
        self._one_dial, self._options, self._low = one_dial, options, low
        self._made: dict[LowBand | None, Transported] = {None: one_dial}

    def of(self, signal: Signal) -> Transported:
        """Return the images at the share of a signal: that of the configuration, or of the map."""
        band = band_of(self._options, signal)
        if band not in self._made:
            direction = self._one_dial.last_direction()
            if self._low is None and band is not None and direction is not None:
                self._low = band.low(direction)
            self._made[band] = with_low_band(self._one_dial, band, self._low)
        return self._made[band]
