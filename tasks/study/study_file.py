"""A study's YAML file: which configuration it starts from, and what is varied of it."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.config.error_messages import explain
from tasks.config.yaml_file import read_sections
from tasks.io.errors import ConfigurationError
from tasks.io.section import Section

StudyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""At most 40 letters, digits, dots, dashes and underscores: names of its runs begin with it."""

MOST_POINTS = 1000

COLUMNS = ("run", "signal", "alpha", "images")
"""Columns of a study's table beside its options and metrics."""


class Study(Section):
    """The section ``study``: a grid over the options of a configuration."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    name: StudyName
    """Of the study, its page and its table."""
    base: str
    """Path of the configuration that is varied; a relative one counts from the study's file."""
    grid: Annotated[dict[str, tuple[Any, ...] | dict[str, Any]], Field(min_length=1)]
    """Values of each option that is varied, by its place in the configuration, as
    ``patches.size: [1, 3, 5]``, or by words that stand for them, as ``codec: {taesd: {kind: …}}``.
    Under a name that is no option, words may stand for values of several, as
    ``task: {noise: {degrade: …, restore: …}}``. The first of each make up the point that others are
    compared with."""
    fixed: Annotated[dict[str, Any], Field(alias="set", default_factory=dict)]
    """Options that all points have in place of the base's, by their places."""
    skip: tuple[dict[str, Any], ...] = ()
    """Points that are left out: those with all the values, or words for them, that one says."""

    @field_validator("grid", mode="before")
    @classmethod
    def _values_are_listed(cls, grid: Any) -> Any:
        for option, values in grid.items() if isinstance(grid, dict) else ():
            if not isinstance(values, list | tuple | dict):
                raise ValueError(
                    f"{option} must have a list of values, or values by words of your own, as "
                    f"{{word: value}}, got {values!r}"
                )
            for word in values if isinstance(values, dict) else ():
                if not isinstance(word, str):
                    raise ValueError(
                        f"words of {option} must be text, so put it in quotes, got {word!r}"
                    )
        return grid

    @model_validator(mode="after")
    def _the_grid_is_one(self) -> "Study":
        for option, values in self.grid.items():
            if not values:
                raise ValueError(f"grid.{option} must have a value, got none")
            words = list(values if isinstance(values, dict) else map(in_words, values))
            if len(set(words)) < len(words):
                raise ValueError(
                    f"grid.{option} must have values of different words, got {', '.join(words)}; "
                    "give words of your own, as {word: value}"
                )
        return self

    @model_validator(mode="after")
    def _what_is_set_or_skipped_fits_the_grid(self) -> "Study":
        if both := self.grid.keys() & self.fixed.keys():
            raise ValueError(f"an option must be in grid or in set, got {min(both)!r} in both")
        for point in self.skip:
            for option, value in point.items():
                if option not in self.grid:
                    raise ValueError(
                        f"skip must name options of the grid, {', '.join(self.grid)}, got "
                        f"{option!r}"
                    )
                if in_words(value) not in self.words(option):
                    raise ValueError(
                        f"skip must name values of grid.{option}, "
                        f"{', '.join(self.words(option))}, got {value!r}"
                    )
        return self

    @property
    def deployed(self) -> str:
        """Name of the deployments whose runs do its points on a pool."""
        return f"study-{self.name}"

    def words(self, option: str) -> dict[str, Any]:
        """Return the values of an option by the words that stand for them, in their order."""
        values = self.grid[option]
        return values if isinstance(values, dict) else {in_words(each): each for each in values}

    def points(self) -> list[dict[str, str]]:
        """Return every point that is not skipped as words by option; the one to compare with first.

        Raises:
            ConfigurationError: all are skipped, or there are too many.
        """
        axes = {option: self.words(option) for option in self.grid}
        skipped = [{o: in_words(v) for o, v in point.items()} for point in self.skip]
        found = []
        for words in product(*axes.values()):
            point = dict(zip(axes, words, strict=True))
            if not any(point.items() >= each.items() for each in skipped):
                found.append(point)
            if len(found) > MOST_POINTS:
                raise ConfigurationError(
                    f"a study must have {MOST_POINTS} points at most, got more; take values out "
                    "of its grid"
                )
        if not found:
            raise ConfigurationError("a study must have a point, got a skip that leaves none")
        return found


class StudyFile(Section):
    """All that stands in the file."""

    study: Study


def load_study(path: Path) -> Study:
    """Return the study in a YAML file, with the path of its base made absolute.

    Raises:
        ConfigurationError: the file cannot be read, is not YAML, or breaks a rule.
    """
    try:
        study = StudyFile.model_validate(read_sections(path)).study
    except ValidationError as error:
        raise ConfigurationError(explain(path, error, StudyFile.model_json_schema())) from error
    return study.model_copy(update={"base": str(path.parent.resolve() / study.base)})


def in_words(value: Any) -> str:
    """Return what tables call a value: of a section its kind, of a list its parts."""
    if isinstance(value, dict):
        parts = ", ".join(f"{k} {in_words(v)}" for k, v in value.items())
        return str(value.get("kind") or parts or "none")
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
