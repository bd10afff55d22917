"""The ready studies: each loads, and its points are what their comments say."""

from pathlib import Path

import pytest

from tasks.study.points import enhanced_together, points_of
from tasks.study.study_file import load_study

STUDIES = sorted(Path("infra/studies").glob("*.yaml"))
POINTS = {
    "alpha-sweep": 4,
    "alpha-sweep-offline": 4,
    "b7-degraded": 10,
    "class-and-resolution": 9,
    "figure3-offline": 5,
    "levels": 12,
    "patch-prior": 6,
    "reapply": 6,
    "residual-transport": 8,
    "section-5.3": 22,
    "table1": 7,
    "table1-offline": 14,
}


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_ready_study_has_its_points(file):
    study = load_study(file)
    assert study.name == file.stem
    points = points_of(study)
    assert len(points) == POINTS[study.name]
    assert len({point.config.name for point in points}) == len(points)


def test_points_of_one_restored_set_and_codec_are_enhanced_together():
    groups = enhanced_together(points_of(load_study(Path("infra/studies/levels.yaml"))))
    assert [len(group) for group in groups] == [6, 6]


def test_all_ready_studies_are_known():
    assert {file.stem for file in STUDIES} == set(POINTS)


def test_the_curves_of_figure_3_have_31_alphas():
    (config, *_) = [p.config for p in points_of(load_study(Path("infra/studies/table1.yaml")))]
    offline = points_of(load_study(Path("infra/studies/figure3-offline.yaml")))
    for each in (config, *(point.config for point in offline)):
        assert len(each.curve_alphas) == 31
        assert each.evaluate.curve.networks


def test_the_page_says_what_each_ready_study_shows():
    page = Path("infra/docs/studies.md").read_text("utf-8")
    assert {file.name for file in STUDIES if f"(../studies/{file.name})" not in page} == set()
