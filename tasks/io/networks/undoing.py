"""What a restorer undoes, where the images that it is given were degraded elsewhere."""

from typing import Annotated

from pydantic import Field

from dot_kernels.degradations import Degradation
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
