"""What a study leaves in the workspace: a table, the same in Markdown, a figure and a page."""

import io

import pyarrow.parquet as pq

from tasks.io.store import Store
from tasks.io.workspace import study_folder
from tasks.report.comparison.compare import options_that_differ
from tasks.report.pages import Fact, Table, counted, data_address, render_study, size_of
from tasks.report.study.curves import study_curves
from tasks.report.study.figure import shown_in_figure, study_figure
from tasks.report.study.rows import StudyRows, as_table, read_rows
from tasks.report.study.tables import differences_of_study, results_of_study
from tasks.study.points import Point, points_of
from tasks.study.study_file import Study

_PAGE, _TABLE, _TEXT, _FIGURE = "study.html", "table.parquet", "table.md", "figure.png"
_CURVES = "curves.png"


def write_study(study: Study) -> StudyRows:
    """Write the results of a study, as far as its points have some, in place of former ones.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
    """
    points = points_of(study)
    found, store = read_rows(points), Store(points[0].config.workspace)
    folder, figure = study_folder(study.name), study_figure(found)
    curves = study_curves(found)
    table = io.BytesIO()
    pq.write_table(as_table(found), table)
    results, differences = results_of_study(found), differences_of_study(found)
    files = {_TABLE: table.getvalue(), _TEXT: _markdown(results, differences).encode()}
    files |= {} if figure is None else {_FIGURE: figure}
    files |= {} if curves is None else {_CURVES: curves}
    files[_PAGE] = _page(study, points, found, figure, curves, results, differences).encode()
    for name, data in files.items():
        store.write(f"{folder}/{name}", data)
    return found


def study_page(study: Study) -> tuple[Store, str]:
    """Return the store of a study's page and its path there, whether it is written or not."""
    (first, *_) = points_of(study)
    return Store(first.config.workspace), f"{study_folder(study.name)}/{_PAGE}"


def sentences_of(found: StudyRows) -> list[str]:
    """Return what must be said of the numbers of a study."""
    told = list(found.lacking)
    if any(row.changes for row in found.rows):
        images = max(d.images for row in found.rows for d in row.changes.values())
        first = ", ".join(f"{option} {word}" for option, word in found.rows[0].words.items())
        told.append(
            f"Differences are to {first}, over {counted(images, 'image')} that both have, each "
            "against itself: ± is their standard error, as a rule smaller than those of the "
            "metrics, as the points share their images."
        )
    return told


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
    base = points[0].config
    facts = {
        "name": study.name,
        "sentences": sentences_of(found),
        "words": len(points[0].words) + 1,
        "results": results,
        "differences": differences,
        "figure": None if figure is None else data_address(figure, "image/png"),
        "size": None if figure is None else size_of(figure),
        "curves": None if curves is None else data_address(curves, "image/png"),
        "size_of_curves": None if curves is None else size_of(curves),
        "alpha": f"{alphas.pop():g}" if alphas else "",
        "points": [
            (point.label, options_that_differ(base, point.config) or [Fact("", "the first point")])
            for point in points
        ],
    }
    return render_study(facts)
