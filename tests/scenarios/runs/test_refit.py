"""Images come night by night: the operator stays while statistics do, and goes when they go."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from workspaces.made_again import (
    AFTER_THE_FIT,
    FIDELITY,
    OPERATOR,
    REPORT,
    SELECTION,
    SUMMARY,
    run_again,
)

from flows.backfill import backfill

LIMIT = 10  # four tiny photographs are apart by more than a restorer moves them
FIT = {"refit_beyond": LIMIT}
DECISION = "moments/tiny/in-use/tiny"
OF_THE_FIT = {
    "datasets/natural/index",
    "datasets/tiny.source/index",
    SELECTION,
    DECISION,
}


@pytest.fixture
def started(project):
    """The project after a first run with a threshold, and the name of its operator."""
    backfill(project.configure(fit=FIT))
    (operator,) = operators(project)
    return project, operator


def operators(project):
    return {path.stem for path in (project.workspace / "operators/tiny").iterdir()}


def decision(project):
    return json.loads((project.workspace / f"{DECISION}.json").read_bytes())


def of_shard(shard, *data_sets):
    made = {f"datasets/{name}/{shard}" for name in data_sets}
    return made | {f"moments/{name}/*/{shard}" for name in data_sets}


def test_while_statistics_hardly_move_only_new_images_are_enhanced(started, draw):
    project, operator = started

    def night(project):
        shutil.copy(project.folder / "natural/0.png", project.folder / "natural/9.png")
        draw(project.folder / "reference/a/9.png", 200)

    redone = run_again(project, night, fit=FIT)
    assert operators(project) == {operator}
    assert redone.made == redone.expected(
        OF_THE_FIT
        | of_shard("shard-000002", "natural", "tiny.source")
        | {"datasets/reference/index", "datasets/tiny/index", "datasets/tiny/matches/*"}
        | {"datasets/reference/shard-000003", "datasets/tiny/shard-000003"}
        | {"enhanced/*/shard-000003", "metrics/*/shard-000003", FIDELITY, SUMMARY, REPORT}
    )
    assert decision(project)["operator"] == operator
    (report,) = project.workspace.glob("reports/tiny/*/report.md")
    assert "| statistics moved | 0.3" in report.read_text("utf-8")
    page = report.with_suffix(".html").read_text("utf-8")
    assert "kept: since it was fitted, statistics have moved 0.3" in page
    assert run_again(project, lambda _: None, fit=FIT).made == set()
    project.vouch()


def test_statistics_that_drift_end_in_a_refit_and_all_is_enhanced_again(started):
    project, operator = started
    moved = []

    def night(project):
        with Image.open(project.folder / "natural/0.png") as image:
            darker = (0.8 * np.asarray(image)).astype(np.uint8)
        Image.fromarray(darker).save(project.folder / f"natural/dark{len(moved)}.png")

    while operators(project) == {operator}:
        assert len(moved) < 5
        redone = run_again(project, night, fit=FIT)
        found = decision(project)
        assert found["compared_with"] == operator
        moved.append(found["moved"] / found["apart"])
        shard = f"shard-{len(moved) + 1:06d}"
        made = OF_THE_FIT | of_shard(shard, "natural", "tiny.source")
        kept = moved[-1] <= LIMIT
        made |= {REPORT} if kept else {OPERATOR, *AFTER_THE_FIT}
        assert redone.made == redone.expected(made)
    assert len(moved) == 3
    assert moved == sorted(moved)
    (new,) = operators(project) - {operator}
    assert decision(project)["operator"] == new
    project.vouch()
