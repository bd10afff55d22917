"""A study of clean photographs that are degraded, restored and enhanced, in a folder."""

from pathlib import Path
from typing import Any

import yaml

from tasks.study.study_file import Study


def study_in(folder: Path, photographs: dict[str, Path], grid: dict[str, Any], **sections) -> Study:
    """Return a study, whose base is written to the folder, with a workspace beside it.

    Args:
        folder: where.
        photographs: folders by the roles of the fixture; eight to fit on, and eight others.
        grid: of the study.
        sections: of the base, in the place of those here; bicubic as restorer, the pixel codec.
    """
    base = {
        "workspace": "workspace",
        "corpora": {
            "natural": {"path": str(photographs["restored"])},
            "reference": {"path": str(photographs["natural"])},
        },
        "degrade": [{"kind": "noise", "sigma": 0.1}],
        "restore": {"kind": "bicubic"},
        "codec": {"kind": "pixel", "factor": 2},
        "evaluate": {"lpips": None, "niqe": False, "features": None, "curve": None},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base | sections))
    return Study(name="s", base=str(folder / "base.yaml"), grid=grid)
