"""Pages and their parts: HTML that needs no other file, tables in Markdown, pictures."""

import base64
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from tasks.io.artifacts.metric_registry import Metric

_PARTS = {
    "style": "report.css",
    "script": "report.js",
    "sorting": "study.js",
    "of_study": "study.css",
}
"""Written into the pages that name them; a browser runs no other script than those of the page."""


class Fact(NamedTuple):
    """A line of the page: what, its value, and what that means."""

    name: str
    value: str
    meaning: str = ""


class Cell(NamedTuple):
    """A value of a table as text, its error if it has one, and what is to be said of it.

    ``best`` marks the best of its column; ``verdict`` is a word beside it, or empty.
    """

    text: str
    error: str = ""
    best: bool = False
    verdict: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.text, self.error, self.verdict) if part)


class Table(NamedTuple):
    """Titles of the columns, and the lines; the first cell of a line says which row it is."""

    titles: list[str]
    lines: list[list[Cell]]

    def markdown(self) -> str:
        """The table as Markdown, the best values in bold."""
        lines = [
            [str(cell._replace(text=f"**{cell.text}**") if cell.best else cell) for cell in line]
            for line in self.lines
        ]
        return render_table(self.titles, lines)


def render_report(facts: Mapping[str, Any]) -> str:
    """The report as one HTML file, made of what its template asks for; every text is escaped."""
    return _render("report.html", facts)


def render_comparison(facts: Mapping[str, Any]) -> str:
    """The comparison of two runs as one HTML file; every text is escaped."""
    return _render("compare.html", facts)


def render_study(facts: Mapping[str, Any]) -> str:
    """The results of a study as one HTML file; every text is escaped."""
    return _render("study.html", facts)


def _render(template: str, facts: Mapping[str, Any]) -> str:
    """A page in which style and script are written, with their digests for its policy."""
    environment = Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _with_code
    parts = {part: _source(environment, name) for part, name in _PARTS.items()}
    digests = {f"{part}_digest": _digest(text) for part, text in parts.items()}
    trusted = {part: Markup(text) for part, text in parts.items()}  # noqa: S704
    return environment.get_template(template).render(**facts, **trusted, **digests)


def render_redirect(address: str) -> str:
    """A page that leads a browser on to a relative address, on a disk as in a bucket."""
    target = escape(quote(address))
    return (
        f'<!doctype html>\n<meta charset="utf-8">\n<meta http-equiv="refresh" content="0; '
        f'url={target}">\n<title>The newest report</title>\n<a href="{target}">The newest '
        "report</a>\n"
    )


def render_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of an encoded picture, in pixels."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def counted(count: int, noun: str) -> str:
    """A number with its noun, in singular or plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float | None, digits: int) -> str:
    """A number as the tables show it: a dash where it is unknown, ∞ where it is infinite."""
    return "–" if value is None else f"{value:.{digits}f}".replace("inf", "∞")


def digits_of(metric: Metric, values: Iterable[float | None]) -> int:
    """How many digits follow the point in the column of a metric that has these values."""
    if metric.digits is not None:
        return metric.digits
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    return min(5, max(0, 3 - math.floor(math.log10(max(sizes))))) if sizes else 4


def as_text(value: Any) -> str:
    """A value as the page writes it: floats with four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def data_address(data: bytes, kind: str) -> str:
    """Bytes of a media type as a `data:` address, so that the page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _with_code(sentence: str) -> Markup:
    """A sentence of plain text for a page, in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


def _source(environment: Environment, name: str) -> str:
    if environment.loader is None:
        raise ValueError("the environment must have a loader, got none")
    return environment.loader.get_source(environment, name)[0]


def _digest(text: str) -> str:
    """The digest of a text as a content security policy writes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
