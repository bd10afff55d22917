"""What a restorer undoes, where the images that it is given were degraded elsewhere."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from dot_kernels.degradations import Degradation
from dot_kernels.linear_degradations import measurement_noise
from tasks.io.errors import ConfigurationError
from tasks.io.section import Section

OneDegradation = Annotated[Degradation, Field(discriminator="kind")]
"""A degradation as a section of the configuration, told from others by its kind."""


class Undoing(Section):
    """What the sections of all restorers have."""

    undoes: tuple[OneDegradation, ...] = ()
    """What the images of ``corpora.degraded`` went through, one after the other, as ``degrade``
    would say it: for a restorer that asks for the noise level or the downscaling."""

    def complaint(self) -> str | None:
        """Return what else ``undoes`` must say; None if it says enough."""
        return None


def require_linear(kind: str, degradations: Sequence[Degradation]) -> None:
    """Check that degradations are linear with noise at their end, for a restorer of a kind.

    Raises:
        ConfigurationError: they are not.
    """
    try:
        measurement_noise(degradations)
    except ValueError as error:
        raise ConfigurationError(f"restore by {kind} cannot undo this: {error}") from error
