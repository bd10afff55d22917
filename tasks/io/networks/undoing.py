"""What a restorer undoes, where the images that it is given were degraded elsewhere."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from dot_kernels.degradations import Degradation
from dot_kernels.linear_degradations import measurement_noise
from tasks.io.errors import ConfigurationError
from tasks.io.section import Name, Section

OneDegradation = Annotated[Degradation, Field(discriminator="kind")]
"""A degradation as a section of the configuration, told from others by its kind."""


class Undoing(Section):
    """What the sections of all restorers have."""

    undoes: tuple[OneDegradation, ...] = ()
    """What the images of ``corpora.degraded`` went through, one after the other, as ``degrade``
    would say it: for a restorer that asks for the noise level or the downscaling."""
    name: Name | None = None
    """Name of the data set of restored images in the workspace, and of what is made of them; that
    of the run by default. Runs of a workspace that restore the same images alike may share it."""

    def making(self, *without: str) -> dict[str, Any]:
        """Return the options that decide what is made of an image by what was undone, by name.

        Args:
            without: names of others that do not.
        """
        return self.model_dump(exclude={"undoes", "name", *without})

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
