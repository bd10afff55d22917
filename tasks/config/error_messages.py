"""Error messages for a configuration that breaks a rule, in words of the configuration file."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def explain(path: Path | str, error: ValidationError, schema: dict[str, Any]) -> str:
    """Return a text that says what is wrong, one line for each field.

    Args:
        path: the configuration file, or what else to call it.
        error: what pydantic found.
        schema: JSON schema of the configuration, from which the names that would be allowed
            in place of an unknown one are taken.
    """
    lines = [f"{path} breaks {error.error_count()} rule(s):"]
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        lines.append(f"  {place}: {_sentence(problem, schema)}")
    return "\n".join(lines)


def _sentence(problem: ErrorDetails, schema: dict[str, Any]) -> str:
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = ", ".join(_known_fields(schema, problem["loc"][:-1]))
        return f"no such field; known here: {known}"
    if problem["type"] == "union_tag_not_found":
        return "kind must be given; it says which fields are known"
    if problem["type"] == "string_type" and isinstance(problem["input"], int | float):
        return f"must be text, so put it in quotes, got {problem['input']!r}"
    message = problem["msg"].removeprefix("Value error, ")
    is_plain = isinstance(problem["input"], str | int | float) and ", got " not in message
    return f"{message}, got {problem['input']!r}" if is_plain else message


def _known_fields(schema: dict[str, Any], place: tuple[int | str, ...]) -> list[str]:
    """Return the names of all fields of the section at a place, in alphabetical order."""
    return sorted(_resolve(schema, schema, place).get("properties", {}))


def _resolve(
    schema: dict[str, Any], node: dict[str, Any], place: tuple[int | str, ...]
) -> dict[str, Any]:
    """Return the part of the schema that describes a place of the configuration.

    Args:
        schema: of the whole configuration, to which references point.
        node: the part of the schema from which the place counts.
        place: field names and list indices, as pydantic reports them; where a section is one of
            several kinds, also its kind.
    """
    if "$ref" in node:
        return _resolve(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], place)
    if "discriminator" in node and place:
        chosen = node["discriminator"]["mapping"][str(place[0])]
        return _resolve(schema, {"$ref": chosen}, place[1:])
    for key in ("anyOf", "allOf"):
        for option in node.get(key, []):
            if option.get("type") != "null":
                return _resolve(schema, option, place)
    if not place:
        return node
    if "items" in node:
        return _resolve(schema, node["items"], place[1:])
    return _resolve(schema, node["properties"][str(place[0])], place[1:])
