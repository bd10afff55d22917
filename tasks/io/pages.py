"""The report's pages: HTML that needs nothing but itself, and Markdown."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from tasks.io.images import Pixels

_LARGEST_THUMBNAIL = 320


def render_report(facts: Mapping[str, Any]) -> str:
    """The report as one HTML file; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("tasks.io"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html").render(**facts)


def render_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def thumbnail(pixels: Pixels) -> str:
    """A picture as a data address, made smaller if it is large."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=90)
    return data_address(out.getvalue(), "image/webp")


def data_address(data: bytes, kind: str) -> str:
    """Bytes as an address that a page can carry in itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
