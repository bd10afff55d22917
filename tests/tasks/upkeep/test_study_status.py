"""Which points of a study are done, where two of them come to the same operator."""

import yaml
from workspaces.plain_pipeline import do

from tasks.config import Run
from tasks.study.points import points_of
from tasks.study.study_file import Study
from tasks.upkeep.forecasts.study import forecast_study
from tasks.upkeep.study_status import status_of_points, unfinished


def test_points_with_one_operator_share_its_report(tmp_path, photographs):
    base = {
        "workspace": "workspace",
        "corpora": {"reference": {"path": str(photographs["natural"])}},
        "degrade": [{"kind": "noise", "sigma": 0.1}],
        "restore": {"kind": "bicubic"},
        "codec": {"kind": "pixel", "factor": 2},
        "enhance": {"alphas": [0]},
        "evaluate": {"lpips": None, "features": None, "curve": None},
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    study = Study(name="s", base=str(tmp_path / "base.yaml"), grid={"patches.size": (None, 1)})
    points = points_of(study)
    do(Run.of(points[0].config), lambda step: step.verb != "report")
    assert unfinished(points) == points
    for point in points:
        do(Run.of(point.config), lambda step: True)
        assert unfinished(points) == []
    assert forecast_study(points) == []
    assert [(each.missing, each.first) for each in status_of_points(points)] == [(0, ""), (0, "")]
