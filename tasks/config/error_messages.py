"""What is wrong with a configuration, said so that a person can mend it."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def explain(path: Path, error: ValidationError, schema: dict[str, Any]) -> str:
    """What is wrong, field by field, with the names that are allowed for a misspelt one."""
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
    message = problem["msg"].removeprefix("Value error, ")
    is_plain = isinstance(problem["input"], str | int | float) and ", got " not in message
    return f"{message}, got {problem['input']!r}" if is_plain else message


def _known_fields(schema: dict[str, Any], place: tuple[int | str, ...]) -> list[str]:
    """Field names of the section at a place of the configuration."""
    return sorted(_resolve(schema, schema, place).get("properties", {}))


def _resolve(
    schema: dict[str, Any], node: dict[str, Any], place: tuple[int | str, ...]
) -> dict[str, Any]:
    """The schema of a place; the members of a union are told apart by their kind."""
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
