"""Which points of a study are done, where two of them come to the same operator."""

from collections import Counter

from workspaces.plain_pipeline import do
from workspaces.studies import study_in

from tasks.config import Run
from tasks.pipeline import whole_pipeline
from tasks.study.points import points_of
from tasks.upkeep.forecasts.study import forecast_study
from tasks.upkeep.study_status import status_of_points, unfinished


def study_of(folder, photographs, grid):
    corpora = {"reference": {"path": str(photographs["natural"])}}
    return study_in(folder, photographs, grid, corpora=corpora, enhance={"alphas": [0]})


def test_points_with_one_operator_share_its_report(tmp_path, photographs):
    points = points_of(study_of(tmp_path, photographs, {"patches.size": (None, 1)}))
    do(Run.of(points[0].config), lambda step: step.verb != "report")
    assert unfinished(points) == points
    for point in points:
        do(Run.of(point.config), lambda step: True)
        assert unfinished(points) == []
    assert forecast_study(points) == []
    assert [(each.missing, each.first) for each in status_of_points(points)] == [(0, ""), (0, "")]


def test_each_point_is_planned_once(tmp_path, photographs, monkeypatch):
    points = points_of(study_of(tmp_path, photographs, {"fit.images": (2, 3)}))
    planned = Counter()

    def counting(run):
        planned[run.config.name] += 1
        return whole_pipeline(run)

    for module in ("tasks.upkeep.status", "tasks.pipeline"):
        monkeypatch.setattr(f"{module}.whole_pipeline", counting)
    for number, each in enumerate(status_of_points(points)):
        assert each.first == "shard reference"
        assert each.missing > 0, number
    assert planned == {point.config.name: 1 for point in points}


def test_what_hinders_a_point_is_told(tmp_path, photographs):
    codec = {"gone": {"kind": "autoencoder-tiny", "weights": str(tmp_path / "gone")}}
    (point,) = points_of(study_of(tmp_path, photographs, {"codec": codec}))
    do(
        Run.of(point.config),
        lambda step: step.verb in ("shard", "restore") or "choose" in step.name,
    )
    (status,) = status_of_points([point])
    assert status.first == "measure latent patches"
    assert any("gone" in sentence for sentence in status.failures)
