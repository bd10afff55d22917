"""Two dials in words: what alpha is of, where low frequencies have a dial of their own."""

from dot_kernels.dials import LowBand
from tasks.config.sections import Enhance


def alpha_in_words(options: Enhance) -> str:
    """What alpha 0 is, and of which frequencies."""
    if (band := options.low_band) is None:
        return "0 is the full transport"
    return f"0 is the full transport, of high frequencies; {_low_in_words(band)}"


def two_dials_in_words(options: Enhance) -> list[str]:
    """Sentences for whoever reads the results; none where alpha is of all frequencies."""
    if (band := options.low_band) is None:
        return []
    return [
        f"Alpha is that of high frequencies; {_low_in_words(band)}. The Gelbrich distance is of "
        "latents before decoding, which have one alpha."
    ]


def share_in_words(band: LowBand) -> str:
    """How much of the change low frequencies take, in few words."""
    return f"{band.share:.0%} of the change" if band.share else "as they came"


def _low_in_words(band: LowBand) -> str:
    takes = f"take {band.share:g} of the change" if band.share else "stay as they came"
    return f"low ones, which a Gaussian blur of {band.sigma:g} pixels keeps, {takes}"
