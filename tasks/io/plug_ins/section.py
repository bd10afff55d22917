"""What the sections of a configuration have that name a plug-in."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from tasks.io.section import Section

EntryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""The name of an entry point: at most 64 letters, digits, dots, dashes and underscores."""

_OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


_SWITCHES = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
"""Words that are booleans in YAML 1.2; the configuration's files leave them words."""


def _with_switches(value: Any) -> Any:
    """Return what options say with booleans for the words true and false, at any depth."""
    if isinstance(value, dict):
        return {name: _with_switches(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_switches(each) for each in value]
    return _SWITCHES.get(value, value) if isinstance(value, str) else value


class PlugIn(Section):
    """A plug-in by its name, with what it is told."""

    entry: EntryName
    """Name of the entry point that an installed package has for it."""
    options: Annotated[dict[_OptionName, JsonValue], BeforeValidator(_with_switches)] = Field(
        default_factory=dict
    )
    """What it is told by name; which options there are, the plug-in says. The words true and false
    are booleans."""
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
