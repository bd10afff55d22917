"""The base job template with your cluster's defaults, for an overlay of the manifests.

`python -m infra.job_template FOLDER image=registry.mine.org/dotpipe-worker:0.1.0 gpus=2` writes
FOLDER/base-job-template.json: the one of infra/kubernetes, with these values as the defaults of
its variables. Each deployment and each run may still set others.
"""

import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

NAME = "base-job-template.json"


def main(folder: Path, words: Sequence[str]) -> int:
    """Write the template into a folder that is there, and print its name.

    Args:
        folder: of the overlay.
        words: defaults as ``name=value``; a value that is no text is JSON.

    Returns:
        0, or 1 with an error message and nothing written.
    """
    try:
        text = json.dumps(with_defaults(words), indent=2) + "\n"
        (folder / NAME).write_text(text, "utf-8")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"wrote {folder / NAME}\n")
    return 0


def with_defaults(words: Sequence[str]) -> dict[str, Any]:
    """The template with defaults of variables, each as ``name=value``.

    Raises:
        ValueError: there is no such variable, or the value is not of its type.
    """
    text = (files("infra") / "kubernetes" / NAME).read_text("utf-8")
    template: dict[str, Any] = json.loads(text)
    known = template["variables"]["properties"]
    for word in words:
        name, _, value = word.partition("=")
        if name not in known or "=" not in word:
            raise ValueError(
                f"a default must be written name=value, with one of the names "
                f"{', '.join(sorted(known))}, got {word!r}"
            )
        known[name]["default"] = _read(name, value, known[name].get("type", "object"))
    return template


def _read(name: str, value: str, kind: str) -> Any:
    """The value of a variable of a type of JSON schemas.

    Raises:
        ValueError: it is of another type.
    """
    if kind == "string":
        return value
    types = {"integer": int, "boolean": bool, "object": dict, "array": list}
    try:
        found = json.loads(value)
    except json.JSONDecodeError:
        found = value
    if type(found) is not types[kind]:
        raise ValueError(f"{name} must be of the type {kind}, written as JSON, got {value!r}")
    return found


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.stderr.write("usage: python -m infra.job_template FOLDER [name=value]...\n")
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
