"""The points of a study: configurations that differ from its base in the options of the grid.

They share the workspace of the base, and in it all that does not depend on what is varied: shards
of given images, restored images, features of the reference, moments of images that several fits
choose. What a point makes of its own has a name of its own.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.config.yaml_file import config_of, read_sections
from tasks.io.errors import ConfigurationError
from tasks.study.sharing import (
    have_latents_kept,
    name_data_sets,
    name_results,
    require_same_networks,
    short_digest,
)
from tasks.study.study_file import COLUMNS, Study

_ALONE = {
    "name": "its points are called by the study",
    "workspace": "its points share that of the base",
    "enhance.name": "results of its points are called by the study",
}
"""Options that no point may have otherwise, and why."""


class Point(NamedTuple):
    """One configuration of a study."""

    words: dict[str, str]
    """What stands for its values, by option."""
    config: Config

    @property
    def label(self) -> str:
        """Its values in words."""
        return ", ".join(f"{option} {word}" for option, word in self.words.items())


def points_of(study: Study) -> list[Point]:
    """Return the points of a study, the one that others are compared with first.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
    """
    base = Path(study.base)
    sections = read_sections(base)
    return [_point(study, words, sections, base) for words in study.points()]


def enhanced_together(points: Iterable[Point]) -> list[list[Point]]:
    """Return points in groups that enhance the same images with the same codec, in their order.

    What one of a group encodes and decodes of an image is what the others would.
    """
    groups = dict[str, list[Point]]()
    for point in points:
        config = point.config
        same = config.restored_name, config.codec, config.compute, config.weights
        groups.setdefault(repr(same), []).append(point)
    return list(groups.values())


def _point(study: Study, words: dict[str, str], base: Mapping[str, Any], path: Path) -> Point:
    own = {option: study.words(option)[word] for option, word in words.items()}
    values, varied = _options([*study.fixed.items(), *own.items()]), _options(own.items())
    require_same_networks(varied)
    tree = copy.deepcopy(dict(base))
    for option in sorted(values, key=lambda option: option.count(".")):  # sections first
        _put(tree, option, copy.deepcopy(values[option]))
    tree["name"] = f"{study.name}-{short_digest(values)}"
    name_data_sets(tree, values, varied.keys(), study.name)
    name_results(tree, varied)
    have_latents_kept(tree)
    told = ", ".join(f"{option}: {word}" for option, word in words.items())
    return Point(words, config_of(tree, path, f" at {told}"))


def _options(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return values by the options that they are of; a name that is no option stands for several.

    Raises:
        ConfigurationError: such a name has a value that names no options, or is one of a column of
            the table; or an option has two values, or is not to be varied.
    """
    found = dict[str, Any]()
    for name, value in named:
        for option, one in _by_option(name, value).items():
            if option in found:
                raise ConfigurationError(
                    f"{option} must have one value at a point, got {found[option]!r} and {one!r}; "
                    "name it once in grid and set"
                )
            found[option] = one
    for option, why in _ALONE.items():
        if option in found:
            raise ConfigurationError(
                f"a study must leave `{option}` alone, got {found[option]!r}: {why}"
            )
    return found


def _by_option(name: str, value: Any) -> Mapping[str, Any]:
    """Return a value by its option, or the values of the options that a name of its own has."""
    if name.partition(".")[0] in Config.model_fields:
        return {name: value}
    if name in COLUMNS:
        raise ConfigurationError(
            f"grid.{name} must have another name: the table of a study has columns "
            f"{', '.join(COLUMNS)}"
        )
    if not isinstance(value, dict) or not all(isinstance(option, str) for option in value):
        raise ConfigurationError(
            f"grid.{name} must be an option of a configuration, or have values that name "
            f"some, as {{word: {{patches.size: 1}}}}, got {value!r}"
        )
    return value


def _put(tree: dict[str, Any], option: str, value: Any) -> None:
    """Put a value in the place of an option, in sections that are there or not yet.

    Raises:
        ConfigurationError: what stands on the way to it is no section.
    """
    *above, last = option.split(".")
    place: Any = tree
    for name in above:
        place = _entered(place, name, option)
    if isinstance(place, list):
        place[_number(last, place, option)] = value
    else:
        place[last] = value


def _entered(place: Any, name: str, option: str) -> Any:
    """Return what lies at a name of a section, or at a number of a list."""
    inner = place[_number(name, place, option)] if isinstance(place, list) else place.get(name)
    if inner is None and isinstance(place, dict):
        inner = place[name] = {}
    if not isinstance(inner, dict | list):
        raise ConfigurationError(
            f"{option} must name an option of the base, got {inner!r} at {name!r}, which has "
            "no options"
        )
    return inner


def _number(name: str, place: list[Any], option: str) -> int:
    if not name.isdecimal() or int(name) >= len(place):
        raise ConfigurationError(
            f"{option} must name one of the {len(place)} that the base lists, counted from 0, "
            f"got {name!r}"
        )
    return int(name)
