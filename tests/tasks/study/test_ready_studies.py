"""The ready studies: each loads, and its points are what their comments say."""

from pathlib import Path

import pytest

from tasks.study.points import enhanced_together, points_of
from tasks.study.study_file import load_study

STUDIES = sorted(Path("infra/studies").glob("*.yaml"))
POINTS = {"levels": 12, "section-5.3": 22, "table1-offline": 8}


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
