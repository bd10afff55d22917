"""The forecast of a study: in the order of its steps, and what points share counted once."""

import yaml

from tasks.study.points import points_of
from tasks.study.study_file import Study
from tasks.upkeep.forecasts.study import forecast_study


def test_steps_come_in_their_order_and_shared_ones_once(tmp_path, photographs):
    base = {
        "workspace": "workspace",
        "corpora": {
            "natural": {"path": str(photographs["restored"])},
            "reference": {"path": str(photographs["natural"])},
        },
        "degrade": [{"kind": "noise", "sigma": 0.1}],
        "restore": {"kind": "bicubic"},
        "codec": {"kind": "pixel", "factor": 2},
        "evaluate": {"lpips": None, "features": None},
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    grid = {"patches.size": (1, 3), "fit.images": (4, 6)}
    study = Study(name="s", base=str(tmp_path / "base.yaml"), grid=grid)
    steps = forecast_study(points_of(study))
    times = {step.step: step.times for step in steps}
    assert times["restore s"] == times["match the reference"] == 1
    assert times["choose images"] == times["measure latent patches"] == 2
    assert times["enhance"] == times["report"] == 4
    names = [step.step for step in steps]
    sources = {names.index(f"restore s.source-{images}-0-paired") for images in (4, 6)}
    assert max(sources) < names.index("choose images") < names.index("report") == len(names) - 1
