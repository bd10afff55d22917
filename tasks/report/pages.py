"""The report's pages: HTML that needs nothing but itself, and Markdown."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from tasks.io.images import Pixels

_LARGEST_THUMBNAIL = 320

_PARTS = {"style": "report.css", "script": "report.js"}
"""Written into the page; a browser runs no other script than the one with this digest."""


class Thumbnail(NamedTuple):
    """A small picture as an address that a page can carry in itself."""

    address: str
    width: int
    height: int


def render_report(facts: Mapping[str, Any]) -> str:
    """The report as one HTML file; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = {part: _source(environment, name) for part, name in _PARTS.items()}
    digests = {f"{part}_digest": _digest(text) for part, text in parts.items()}
    trusted = {part: Markup(text) for part, text in parts.items()}  # noqa: S704
    return environment.get_template("report.html").render(**facts, **trusted, **digests)


def render_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def thumbnail(pixels: Pixels) -> Thumbnail:
    """A picture made smaller if it is large."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=90)
    return Thumbnail(data_address(out.getvalue(), "image/webp"), image.width, image.height)


def data_address(data: bytes, kind: str) -> str:
    """Bytes as an address that a page can carry in itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _source(environment: Environment, name: str) -> str:
    if environment.loader is None:
        raise ValueError("the environment must have a loader, got none")
    return environment.loader.get_source(environment, name)[0]


def _digest(text: str) -> str:
    """As a content security policy names what a page may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
