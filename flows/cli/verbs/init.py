"""The command `dotpipe init`: a configuration to start from, with a codec that works."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
import yaml

from flows.cli.paths import given_path, usable
from flows.cli.terminal import say

Codec = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="pixel (no weights), taesd, taesd3, taef2, sd, or a folder of weights.",
    ),
]
"""The option that names a codec; what the names mean is in ``tasks.direct.known_codecs``."""

_CODEC_SECTION = re.compile(r"^codec:\n(?: .*\n)+", re.MULTILINE)


def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", parser=given_path, help="File to write.")
    ] = Path("dotpipe.yaml"),
    *,
    codec: Codec = None,
) -> None:
    """Write a commented configuration to start from."""
    from tasks.io.errors import ConfigurationError

    text = (files("infra") / "configs" / "template.yaml").read_text("utf-8")
    if codec is not None:
        text = _CODEC_SECTION.sub(lambda _: codec_section(codec), text, count=1)
    with usable(path, "init must name a file that can be written"):
        if not path.parent.is_dir():
            raise ConfigurationError(f"{path.parent} must be a folder to write into; make it first")
        if path.exists():
            raise ConfigurationError(f"{path} must not exist yet, got a file; name another")
        path.write_text(text, "utf-8")
    say(f"wrote {path}; set the paths in it, then: dotpipe run {path}")


def codec_section(name: str) -> str:
    """The section `codec` of a configuration, as YAML, for a codec by its name or folder.

    Raises:
        ConfigurationError: there is no such codec.
    """
    from tasks.direct.known_codecs import codec_named

    known = codec_named(name).model_dump(exclude_none=True)
    tree = {"kind": known["kind"]} | {key: value for key, value in known.items() if value != {}}
    return yaml.safe_dump({"codec": tree}, sort_keys=False, allow_unicode=True)
