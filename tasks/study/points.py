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
from tasks.io.ledger import digest_of
from tasks.study.study_file import Study

_DIGITS = 8
"""Hex digits that tell points, or the data sets of some of them, apart."""

_APART = ("codec", "fit", "transport", "patches.size", "enhance.alphas")
"""Options whose results lie side by side below one data set: they are part of an operator's name,
or of an alpha's."""

_ROLES = ("restored", "degraded", "natural", "reference")


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
    values = _options({**study.fixed, **own})
    tree = copy.deepcopy(dict(base))
    for option, value in values.items():
        _put(tree, option, value)
    tree["name"] = f"{study.name}-{_digest(values)}"
    _name_data_sets(tree, values, study.name)
    told = ", ".join(f"{option}: {word}" for option, word in words.items())
    return Point(words, config_of(tree, path, f" at {told}"))


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the options that they are of; a name that is no option stands for several.

    Raises:
        ConfigurationError: such a name has a value that names no options.
    """
    found = dict[str, Any]()
    for name, value in values.items():
        if name.partition(".")[0] in Config.model_fields:
            found[name] = value
        elif isinstance(value, dict):
            found |= value
        else:
            raise ConfigurationError(
                f"grid.{name} must be an option of a configuration, or have values that name "
                f"some, as {{word: {{patches.size: 1}}}}, got {value!r}"
            )
    return found


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


def _name_data_sets(tree: dict[str, Any], values: Mapping[str, Any], study: str) -> None:
    """Give data sets that depend on the point names of their own, and share all others."""
    corpora = tree.setdefault("corpora", {})
    for role in _ROLES:
        own = {o: v for o, v in values.items() if o.startswith(f"corpora.{role}.")}
        if own and isinstance(corpora.get(role), dict):
            named = corpora[role].get("name") or role
            corpora[role]["name"] = f"{named}-{_digest(own)}"
    made = tree.get("restore") or corpora.get("restored")
    if not isinstance(made, dict):
        return  # of which the configuration will complain
    apart = {option: value for option, value in values.items() if not _lies_beside(option)}
    made["name"] = f"{study}-{_digest(apart)}" if apart else study


def _lies_beside(option: str) -> bool:
    return any(option == known or option.startswith(f"{known}.") for known in _APART)


def _digest(values: Mapping[str, Any]) -> str:
    return digest_of(values)[:_DIGITS]
