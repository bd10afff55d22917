"""The YAML at the head of a card: keys that are ours are written anew, all others stay as they are.

Lines of keys that are not ours keep their letters, comments too.
"""

import re
from collections.abc import Collection, Mapping
from io import StringIO
from typing import Any

import yaml

from tasks.io.errors import ConfigurationError

_FENCED = re.compile(
    r"\A---[ \t]*\r?\n(?P<front>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)

_KEY = re.compile(r"(?P<key>[A-Za-z_][\w-]*)[ \t]*:")


def split_card(card: str) -> tuple[str | None, str]:
    """Return the YAML at the head of a card, None where there is none, and what follows it."""
    found = _FENCED.match(card)
    return (None, card) if found is None else (found["front"], card[found.end() :])


def joined_card(front: str, body: str) -> str:
    """Return a card of its two parts."""
    return f"---\n{front}---\n{body}"


def parsed_front(front: str) -> dict[str, Any]:
    """Return what the YAML at the head of a card says.

    Raises:
        ConfigurationError: it is none, or no mapping.
    """
    try:
        found = yaml.safe_load(front) or {}
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(
            f"the head of the card, README.md, must be YAML, but is not: {text}; correct it on "
            "the Hub"
        ) from error
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"the head of the card, README.md, must name fields, got {found!r}; correct it on the "
            "Hub"
        )
    return found


def with_fields(front: str, fields: Mapping[str, Any]) -> str:
    """Return the YAML with these fields, in the place of those of the same names or at its end.

    Args:
        front: lines of YAML.
        fields: what they shall say.

    Raises:
        ConfigurationError: the lines are no YAML of fields.
    """
    wanted = parsed_front(front) | dict(fields)
    lines, left = list[str](), dict(fields)
    for key, block in _blocks(front):
        if key not in fields:
            lines.append(block)
        elif key in left:
            lines.append(_dumped({key: left.pop(key)}))
    text = "".join(lines) + "".join(_dumped({key: value}) for key, value in left.items())
    # Lines in a layout that blocks do not tell apart are written anew as a whole.
    return text if _says(text, wanted) else _dumped(wanted)


def _says(front: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(front) == wanted)
    except yaml.YAMLError:
        return False


def merged_configs(
    theirs: Any, ours: Mapping[str, Mapping[str, Any]], former: Collection[str]
) -> list[Any]:
    """Return the parts of a data set: ours, then those that somebody else has named.

    Args:
        theirs: what the card says now.
        ours: by their names.
        former: names of those that the last push has written.
    """
    others = [
        each
        for each in (theirs if isinstance(theirs, list) else [])
        if not (isinstance(each, dict) and each.get("config_name") in {*ours, *former})
    ]
    return [*({"config_name": name, **config} for name, config in ours.items()), *others]


def _blocks(front: str) -> list[tuple[str, str]]:
    """Return the lines of each field, with its name; empty for those before the first."""
    found: list[tuple[str, str]] = []
    for line in StringIO(front):  # which ends lines at "\n" alone, unlike splitlines
        whole = line if line.endswith("\n") else f"{line}\n"
        start = _KEY.match(line)
        if start or not found:
            found.append((start["key"] if start else "", whole))
        else:
            key, block = found[-1]
            is_comment = line.startswith("#") and key
            found.append(("", whole)) if is_comment else None
            if not is_comment:
                found[-1] = (key, block + whole)
    return found


def _dumped(fields: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=100)
    return text
