"""The results of a study: equal to those of its runs, differences image by image, and a page."""

import math
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from workspaces.plain_pipeline import do
from workspaces.studies import study_in

from tasks.config import Run
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.fit.operators import fitted
from tasks.io.workspace import Workspace
from tasks.report.pages import size_of
from tasks.report.study.figure import study_figure
from tasks.report.study.page import write_study
from tasks.report.study.tables import results_of_study
from tasks.study.points import points_of


@pytest.fixture(scope="module")
def study(tmp_path_factory, photographs):
    """A study of four points over tiny photographs, of which the last was not run."""
    folder = tmp_path_factory.mktemp("study")
    grid = {"patches.size": (1, 2), "fit.images": (4, 6)}
    found = study_in(
        folder,
        photographs,
        grid,
        restore={"kind": "non-local-means"},
        enhance={"alphas": [0, 0.5]},
        shards={"images": 3},
    )
    for point in points_of(found)[:3]:
        do(Run.of(point.config), lambda step: step.verb != "report")
    return found


@pytest.fixture(scope="module")
def written(study):
    return write_study(study)


def folder_of(study):
    return Workspace(points_of(study)[0].config.workspace).store.local("reports/studies/s")


def test_rows_are_those_of_the_runs_alone(study, written):
    rows = pq.read_table(folder_of(study) / "table.parquet").to_pylist()
    for point in points_of(study)[:3]:
        run = fitted(Run.of(point.config))
        for expected in read_summary(run.workspace, summary_artifact(run)):
            if expected["signal"] not in ("enhanced", "input"):
                continue
            (row,) = (
                row
                for row in rows
                if row["run"] == point.config.name
                and (row["signal"], row["alpha"]) == (expected["signal"], expected["alpha"])
            )
            assert {row[option] == word for option, word in point.words.items()} == {True}
            assert (row["psnr"], row["ssim"]) == (expected["psnr"], expected["ssim"])
    assert len(rows) == 9


def psnrs(config):
    """PSNR of every image at alpha 0, by key, read without the code of the tables."""
    run = fitted(Run.of(config))
    folder = f"metrics/{config.restored_name}/{run.operator.name}/alpha+0.00"
    paths = run.workspace.store.local(folder).glob("*.parquet")
    return {row["key"]: row["psnr"] for path in paths for row in pq.read_table(path).to_pylist()}


def test_differences_are_image_by_image(study, written):
    first, _, third, _ = (point.config for point in points_of(study))
    before, after = psnrs(first), psnrs(third)
    changes = np.array([after[key] - before[key] for key in before])
    rows = pq.read_table(folder_of(study) / "table.parquet").to_pylist()
    (row,) = (r for r in rows if r["run"] == third.name and r["alpha"] == 0)
    assert row["psnr_less_first"] == pytest.approx(changes.mean())
    assert row["psnr_less_first_error"] == pytest.approx(changes.std() / math.sqrt(len(changes)))
    assert row["psnr_less_first_images"] == 8
    assert all(r["psnr_less_first"] is None for r in rows if r["run"] == first.name)


def test_all_points_share_what_they_can(study):
    workspace = Workspace(points_of(study)[0].config.workspace)
    names = {artifact.split("/")[1] for artifact in workspace.ledger.survey("datasets").artifacts()}
    assert names == {
        "natural",
        "reference",
        "s",
        "s.source-4-0-paired",
        "s.source-6-0-paired",
    }


def test_a_point_without_results_is_told_and_the_others_are_shown(study, written):
    (sentence,) = written.lacking
    assert sentence == "patches.size 2, fit.images 6 has no results yet"
    write_study(study, {"patches.size 2, fit.images 6": "it broke"})
    page = (folder_of(study) / "study.html").read_text("utf-8")
    assert "patches.size 2, fit.images 6 has no results: it broke" in page
    assert "1 of 4 points has no results:" in page
    assert "4 points: patches.size 1, 2 × fit.images 4, 6, on 8 images." in page
    assert "Differences to the first point, image by image" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_page_leads_to_reports_that_are_written_and_tells_no_names_that_it_gave(study):
    page = folder_of(study) / "study.html"
    write_study(study)
    assert "its report" not in page.read_text("utf-8")
    point = points_of(study)[1]
    do(Run.of(point.config), lambda step: True)
    write_study(study)
    (address,) = re.findall(r'href="([^"]+)">its report', page.read_text("utf-8"))
    assert (page.parent / address).is_file()
    assert f"<code>{point.config.name}</code>" in page.read_text("utf-8")
    assert f"→ {point.config.name}" not in page.read_text("utf-8")
    assert "4 → 6" in page.read_text("utf-8")


def test_no_error_has_more_than_two_digits_that_count(written):
    results = results_of_study(written)
    errors = [cell.error for line in results.lines for cell in line if cell.error]
    assert errors
    smallest = {}
    for line in results.lines:
        for title, cell in zip(results.titles, line, strict=True):
            if any(digit in cell.error for digit in "123456789"):
                counts = len(cell.error.removeprefix("± ").replace(".", "").lstrip("0"))
                smallest[title] = min(counts, smallest.get(title, counts))
    assert max(smallest.values()) <= 2


def test_the_table_for_people_has_the_input_once(study, written):
    text = (folder_of(study) / "table.md").read_text("utf-8")
    assert text.count("| input |") == 1
    assert "Less the first point:" in text


def test_the_figure_is_a_picture(study, written):
    assert (folder_of(study) / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_without_perceptual_distances_there_are_no_curves(study, written):
    assert not (folder_of(study) / "curves.png").exists()
    assert "Curves of alpha" not in (folder_of(study) / "study.html").read_text("utf-8")


def test_curves_are_on_the_page(study, written, monkeypatch):
    points = [{**row, "lpips": 0.1} for row in written.measured[0][1]]
    found = written._replace(measured=[(written.measured[0][0], points)])
    monkeypatch.setattr("tasks.report.study.page.read_rows", lambda *_: found)
    write_study(study)
    assert (folder_of(study) / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (folder_of(study) / "study.html").read_text("utf-8")
    assert page.count("<img ") == 2
    assert "Curves of alpha" in page


def test_a_distance_of_other_patches_is_not_compared(study, written):
    columns = {metric.column for metric in written.comparable}
    assert "psnr" in columns
    assert "gelbrich" in {metric.column for metric in written.metrics} - columns
    results = results_of_study(written)
    (place,) = (number for number, title in enumerate(results.titles) if "Gelbrich" in title)
    assert not any(line[place].best for line in results.lines)
    assert any(cell.best for line in results.lines for cell in line)


def test_the_figure_takes_words_as_they_are_and_keeps_its_size(written):
    words = ["$x$ and $", "_left", r"$\no$"]
    row = next(row for row in written.rows if row.signal.alpha == 0)
    rows = [
        row._replace(words={"a": a, "b": b, "c": c, "d": str(d)})
        for a in words
        for b in words
        for c in words
        for d in range(25)
    ]
    width, _ = size_of(study_figure(written._replace(rows=rows)))
    assert width < 1 << 16


def test_the_figure_has_numbers_in_their_order(written, monkeypatch):
    row, drawn = next(row for row in written.rows if row.signal.alpha == 0), []
    monkeypatch.setattr("tasks.report.study.figure.as_png", drawn.append)
    rows = [row._replace(words={"a": a, "b": b}) for a in ("10", "3", "0.5") for b in ("y", "x")]
    study_figure(written._replace(rows=rows))
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "3", "10"]
    assert axes.get_legend_handles_labels()[1] == ["b y", "b x"]  # words as they came
    assert [list(line.get_xdata()) for line in axes.lines] == [
        pytest.approx([-0.03, 0.97, 1.97]),
        pytest.approx([0.03, 1.03, 2.03]),
    ]


def test_a_study_of_which_nothing_is_done_is_written(tmp_path, study):
    path = tmp_path / "base.yaml"
    path.write_text(Path(study.base).read_text("utf-8"), "utf-8")
    empty = study.model_copy(update={"base": str(path)})
    found = write_study(empty)
    assert found.rows == []
    assert len(found.lacking) == 4
    assert (folder_of(empty) / "study.html").exists()
