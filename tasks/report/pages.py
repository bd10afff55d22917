"""Pages and their parts: HTML that needs no other file, tables in Markdown, pictures."""

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


class Fact(NamedTuple):
    """A line of the page: what, its value, and what that means."""

    name: str
    value: str
    meaning: str = ""


class Thumbnail(NamedTuple):
    """A small picture as a `data:` address; width and height are in pixels."""

    address: str
    width: int
    height: int


def render_report(facts: Mapping[str, Any]) -> str:
    """The report as one HTML file, made of what its template asks for; every text is escaped."""
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
    """An image (h, w, 3) as WebP, made smaller if a side has more than 320 pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=90)
    return Thumbnail(data_address(out.getvalue(), "image/webp"), image.width, image.height)


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of an encoded picture, in pixels."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def counted(count: int, noun: str) -> str:
    """A number with its noun, in singular or plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def as_text(value: Any) -> str:
    """A value as the page writes it: floats with four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def data_address(data: bytes, kind: str) -> str:
    """Bytes of a media type as a `data:` address, so that the page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _source(environment: Environment, name: str) -> str:
    if environment.loader is None:
        raise ValueError("the environment must have a loader, got none")
    return environment.loader.get_source(environment, name)[0]


def _digest(text: str) -> str:
    """The digest of a text as a content security policy writes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
