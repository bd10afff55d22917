"""A configuration's YAML file, read so that nothing in it is lost or taken for something else.

Plain words and numbers mean what the core schema of YAML 1.2 says: ``1e-5`` is a number, ``no``
is a word, ``010`` is no octal number and ``1:30`` no minutes. True and false stay words too. Fields
that are switches understand them, and yes, no, on and off; others do not take them for 1 and 0.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from tasks.config.config import Config
from tasks.config.error_messages import explain
from tasks.config.places import require_apart
from tasks.io.errors import ConfigurationError


def load_config(path: Path) -> Config:
    """Return the configuration in a YAML file, with its paths made absolute.

    Raises:
        ConfigurationError: the file cannot be read, is not YAML, or breaks a rule.
    """
    sections = read_sections(path)
    if "study" in sections:
        raise ConfigurationError(
            f"{path} must be a configuration, got a study; `dotpipe study`, `status` and `open` "
            "take it, all other commands its base or the configuration of a run"
        )
    return config_of(sections, path)


def config_of(sections: Mapping[str, Any], path: Path, told: str = "") -> Config:
    """Return the configuration of these sections, as if they stood in a file.

    Args:
        sections: by their names.
        path: of the file, from whose folder relative paths count.
        told: what errors say of the sections beside the path.

    Raises:
        ConfigurationError: they break a rule.
    """
    tree = {"name": path.stem, **sections}
    try:
        config = Config.model_validate(tree).anchored(path.parent.resolve())
    except ValidationError as error:
        named = f"{path}{told}"
        raise ConfigurationError(explain(named, error, Config.model_json_schema())) from error
    _require_utf8(config)
    require_apart(config.workspace, config.corpora)
    return config


def _require_utf8(config: Config) -> None:
    """Check that the paths can be written in records, which are UTF-8.

    Raises:
        ConfigurationError: a folder's name has bytes that are not.
    """
    try:
        config.model_dump_json()
    except PydanticSerializationError as error:
        raise ConfigurationError(
            f"names of folders must be UTF-8, got one that is not in {config.workspace!r} or in a "
            "corpus's path; rename it, or move the configuration and what it names elsewhere"
        ) from error


def read_sections(path: Path) -> dict[str, Any]:
    """Return the sections of a configuration file by their names, as plain values.

    Raises:
        ConfigurationError: the file cannot be read, is not YAML in UTF-8, holds no sections or
            more than one document, or has a key twice or without a value; the text says in
            which line and column.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"configuration must be a readable file, got {str(path)!r} ({error.strerror}); "
            "`dotpipe init` writes one"
        ) from error
    try:
        tree = yaml.load(data.decode("utf-8-sig"), _Loader)  # noqa: S506 - a safe loader
    except _KeyRefused as error:
        raise ConfigurationError(
            f"{path}, {_place(error.problem_mark)}: {error.problem}"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} must be YAML in UTF-8, got {_fault(error)}") from error
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else type(tree).__name__
        raise ConfigurationError(f"{path} must hold sections, got {found}")
    return tree


_NUMBER = re.compile(
    r"^([-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)


class _KeyRefused(yaml.MarkedYAMLError):
    """A key stands twice in one mapping, or has no value."""


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses what other loaders swallow."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the next mapping, each key of which must stand there once and have a value."""
        node = super().compose_mapping_node(anchor)
        lines = dict[str, int]()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused later, as a key that cannot be looked up
            if key.value in lines:
                raise _KeyRefused(
                    problem=f"{key.value!r} must be given once, but is in line "
                    f"{lines[key.value]} already",
                    problem_mark=key.start_mark,
                )
            if value.value == "" and value.tag == "tag:yaml.org,2002:null":
                raise _KeyRefused(
                    problem=f"{key.value!r} must have a value, got none; write null for none, or "
                    "leave it out for the default",
                    problem_mark=key.start_mark,
                )
            lines[key.value] = key.start_mark.line + 1
        return node


_Loader.yaml_implicit_resolvers = {
    None: [
        ("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$")),
        ("tag:yaml.org,2002:float", _NUMBER),
        ("tag:yaml.org,2002:null", re.compile(r"^(null|Null|NULL|~|)$")),
        ("tag:yaml.org,2002:merge", re.compile(r"^<<$")),
    ]
}
"""What plain text stands for; text that matches none of these is text."""


def _fault(error: Exception) -> str:
    """Return where the text stops to be YAML, and why, on one line."""
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        return f"a byte of another encoding in line {line}, column {column}"
    if isinstance(error, RecursionError):
        return "brackets or indents nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError):
        said = " ".join(str(error.problem or error.context).split())
        mark = error.problem_mark or error.context_mark
        if "'\\t'" in said:
            said = "a tab, where only spaces may indent"
        return f"in {_place(mark)}: {said}"
    return " ".join(str(error).split())


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
