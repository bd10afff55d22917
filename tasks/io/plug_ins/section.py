"""What the sections of a configuration have that name a plug-in."""

from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from tasks.io.section import Section

EntryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""The name of an entry point: at most 64 letters, digits, dots, dashes and underscores."""

_OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class PlugIn(Section):
    """A plug-in by its name, with what it is told."""

    entry: EntryName
    """Name of the entry point that an installed package has for it."""
    options: dict[_OptionName, JsonValue] = Field(default_factory=dict)
    """What it is told by name; which options there are, the plug-in says."""
    files: dict[_OptionName, str] = Field(default_factory=dict)
    """Paths of files that it is told by name, such as weights; what is in them is part of what
    results are made from. A relative path counts from the folder of the configuration file."""
    version: str | None = None
    """Version that its package must have; not checked when left out."""

    @model_validator(mode="after")
    def _files_are_no_options(self) -> "PlugIn":
        if both := sorted(self.options.keys() & self.files.keys()):
            raise ValueError(f"options and files must have different names, got {both[0]} in both")
        if remote := [place for place in self.files.values() if "://" in place]:
            raise ValueError(f"files must be paths on disk, got {remote[0]!r}; copy it there")
        return self

    def file_places(self, section: str) -> dict[str, str]:
        """Return the paths of its files, by their fields in the configuration.

        Args:
            section: of the configuration, in which the plug-in is named.
        """
        return {f"{section}.files.{name}": place for name, place in self.files.items()}
