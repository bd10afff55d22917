"""The grid of the paper's section 5.3 as a study, against its points run one by one."""

import time
from collections import Counter

import pytest
import yaml
from workspaces.plain_pipeline import do

from tasks.config import Run
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.fit.operators import fitted
from tasks.pipeline import VERBS
from tasks.study.points import enhanced_together, points_of
from tasks.study.study_file import Study

GRID = {
    "patches.size": (3, 1, 5),
    "fit.images": (4, 8, 16),
    "fit.pairing": ("unpaired", "paired"),
}

MEASURED = [verb for verb in VERBS if verb != "report"]
"""The report has a figure of each point, which costs the same however few images there are."""


@pytest.fixture
def points(photographs, tiny_autoencoder, squeezenet_weights, tmp_path):
    """The points of the grid, with what the ready study sets: 32 images to fit on, 16 others."""
    tree = {
        "workspace": "together",
        "corpora": {
            "natural": {"path": str(photographs(32, 96))},
            "reference": {"path": str(photographs(16, 96))},
        },
        "degrade": [{"kind": "noise", "sigma": 0.2}],
        "restore": {"kind": "non-local-means"},
        "codec": tiny_autoencoder.model_dump(),
        "transport": {"levels": "none"},
        "enhance": {"alphas": [0], "low_share": 1, "decoding": "direct"},
        "evaluate": {"lpips": "squeeze", "features": "squeezenet", "curve": None},
        "shards": {"images": 16},
        "compute": {"device": "cpu"},
    }
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(tree))
    return points_of(Study(name="grid", base=str(path), grid=GRID))


def test_a_grid_costs_a_third_of_its_points(points, tmp_path):
    """Seconds of processors, which other work on the machine leaves as they are."""
    whole, apart = Counter(), Counter()
    together(points, whole)
    for number, point in enumerate(points):
        own = {"workspace": str(tmp_path / f"alone-{number}")}
        for verb in MEASURED:
            spend(apart, verb, [point.config.model_copy(update=own)])
    print(f"\n{len(points)} points:")
    for verb in MEASURED:
        print(f"{verb:9} {whole[verb]:6.1f} s against {apart[verb]:6.1f} s one by one")
    ratio = whole.total() / apart.total()
    print(f"{'all':9} {whole.total():6.1f} s against {apart.total():6.1f} s, ratio {ratio:.3f}")
    assert ratio < 0.35


def together(points, seconds):
    """Do what a study does with its points."""
    for point in points:
        for verb in MEASURED[: MEASURED.index("enhance")]:
            spend(seconds, verb, [point.config])
    start = time.process_time()
    for group in enhanced_together(points):
        for point in group:
            do(Run.of(point.config), lambda step: step.name == "match the reference")
        for unit in plan_together([fitted(Run.of(point.config)) for point in group]):
            enhance_several.fn(unit.job)
    seconds["enhance"] += time.process_time() - start
    spend(seconds, "evaluate", [point.config for point in points])


def spend(seconds, verb, configs):
    """Do the steps of a command for some configurations, and add the time that they take."""
    start = time.process_time()
    for config in configs:
        do(Run.of(config), lambda step: step.verb == verb and not step.repeats)
    seconds[verb] += time.process_time() - start
