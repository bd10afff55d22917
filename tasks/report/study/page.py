"""What a study leaves in the workspace: a table, the same in Markdown, a figure and a page."""

import io
import os
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import pyarrow.parquet as pq

from tasks.config import Config
from tasks.io.store import Store
from tasks.io.workspace import study_folder
from tasks.report.comparison.compare import options_that_differ
from tasks.report.pages import Fact, Table, counted, data_address, render_study, size_of
from tasks.report.study.curves import study_curves
from tasks.report.study.figure import shown_in_figure, study_figure
from tasks.report.study.rows import NONE_FAILED, StudyRow, StudyRows, as_table, read_rows
from tasks.report.study.tables import differences_of_study, results_of_study
from tasks.report.tables.names import footnote, main_columns, results_legend
from tasks.study.points import Point, points_of
from tasks.study.study_file import Study

_PAGE, _TABLE, _TEXT, _FIGURE = "study.html", "table.parquet", "table.md", "figure.png"
_CURVES = "curves.png"


def write_study(study: Study, failed: Mapping[str, str] = NONE_FAILED) -> StudyRows:
    """Write the results of a study, as far as its points have some, in place of former ones.

    Args:
        study: whose points are read.
        failed: why points could not be done, by their words.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
    """
    points = points_of(study)
    found, store = read_rows(points, failed), Store(points[0].config.workspace)
    folder, figure = study_folder(study.name), study_figure(found)
    curves = study_curves(found)
    table = io.BytesIO()
    pq.write_table(as_table(found), table)
    results, differences = results_of_study(found), differences_of_study(found)
    files = {_TABLE: table.getvalue(), _TEXT: _markdown(results, differences).encode()}
    for name, picture in ((_FIGURE, figure), (_CURVES, curves)):
        if picture is None:
            store.remove(f"{folder}/{name}")  # of results that are gone
        else:
            files[name] = picture
    files[_PAGE] = _page(study, points, found, figure, curves, results, differences).encode()
    for name, data in files.items():
        store.write(f"{folder}/{name}", data)
    return found


def study_page(study: Study) -> tuple[Store, str]:
    """Return the store of a study's page and its path there, whether it is written or not."""
    (first, *_) = points_of(study)
    return Store(first.config.workspace), f"{study_folder(study.name)}/{_PAGE}"


def sentences_of(found: StudyRows) -> list[str]:
    """Return what must be said of the numbers of a study on a terminal."""
    return [*found.lacking, *_on_differences(found)]


def _on_differences(found: StudyRows) -> list[str]:
    if not any(row.changes for row in found.rows):
        return []
    images = max(d.images for row in found.rows for d in row.changes.values())
    return [
        f"Differences are to {_in_words(found.rows[0])}, over {counted(images, 'image')} that both "
        "have, each against itself: ± is their standard error, as a rule smaller than those of the "
        "metrics, as the points share their images. Better and worse stand where a difference is "
        "beyond chance."
    ]


def _in_words(row: StudyRow) -> str:
    return ", ".join(f"{option} {word}" for option, word in row.words.items())


def _lead(points: Sequence[Point], found: StudyRows) -> str:
    """Return how many points there are, and of what."""
    words = {option: dict.fromkeys(p.words[option] for p in points) for option in points[0].words}
    grid = " × ".join(f"{option} {', '.join(values)}" for option, values in words.items())
    images = max((row.values.get("images") or 0 for row in found.rows), default=0)
    told = f", on {counted(images, 'image')}" if images else ""
    return f"{counted(len(points), 'point')}: {grid}{told}."


def _notes(found: StudyRows) -> list[str]:
    """Return how the numbers of the results are to be read."""
    rows = [row.values for row in found.rows]
    shown = [metric for metric in found.metrics if metric.column in main_columns(rows, found.facts)]
    errors = (metric.error.column for metric in shown if metric.error)
    columns = {*(metric.column for metric in shown), *errors}
    values = [{name: row.get(name) for name in columns} for row in rows]
    hidden = {m.column for m in found.metrics} - {m.column for m in found.comparable}
    patches = (
        "The distance of latent patches (Gelbrich) is of other patches or latents from point to "
        "point, and compares none."
    )
    told = results_legend(values, found.facts), footnote(values, found.facts)
    return ["★ is the best of a column, inputs left aside.", *told, patches if hidden else ""]


def _markdown(results: Table, differences: Table) -> str:
    parts = [results.markdown()]
    parts += [f"Less the first point:\n\n{differences.markdown()}"] if differences.lines else []
    return "\n".join(parts)


def _page(
    study: Study,
    points: list[Point],
    found: StudyRows,
    figure: bytes | None,
    curves: bytes | None,
    results: Table,
    differences: Table,
) -> str:
    alphas = {row.signal.alpha for row in shown_in_figure(found)}
    base = next((p for p in points if p.label in found.reports), points[0]).config
    facts = {
        "name": study.name,
        "lead": _lead(points, found),
        "lacking": found.lacking,
        "first": _in_words(found.rows[0]) if found.rows else "",
        "notes": [note for note in _notes(found) if note],
        "sentences": _on_differences(found),
        "words": len(points[0].words) + 1,
        "results": results,
        "differences": differences,
        "figure": None if figure is None else data_address(figure, "image/png"),
        "size": None if figure is None else size_of(figure),
        "curves": None if curves is None else data_address(curves, "image/png"),
        "size_of_curves": None if curves is None else size_of(curves),
        "alpha": f"{alphas.pop():g}" if alphas else "",
        "points": [
            {
                "label": point.label,
                "run": point.config.name,
                "report": _address(found.reports.get(point.label), study, base),
                "options": _own_options(base, point.config),
            }
            for point in points
        ],
    }
    return render_study(facts)


def _address(report: str | None, study: Study, config: Config) -> str:
    """Return where a report lies, seen from the page; empty if there is none."""
    if report is None or not Store(config.workspace).exists(f"{report}.html"):
        return ""
    return quote(os.path.relpath(f"{report}.html", study_folder(study.name)))


_GIVEN = ("name", "enhance.name", "restore.name", "corpora.")
"""Options, or what they begin with, that hold names which the study gives."""


def _own_options(base: Config, config: Config) -> list[Fact]:
    """Return the options in which a configuration differs from the first, without given names."""
    differ = options_that_differ(base, config)
    return [f for f in differ if not (f.name.endswith("name") and f.name.startswith(_GIVEN))]
