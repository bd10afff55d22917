"""The file of a study: what is varied, in words, and what is refused."""

import pytest
import yaml

from tasks.io.errors import ConfigurationError
from tasks.study.study_file import in_words, load_study


@pytest.fixture
def study_of(tmp_path):
    """Writes a study's file and loads it."""

    def load(grid, **others):
        section = {"name": "ablation", "base": "base.yaml", "grid": grid, **others}
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({"study": section}, sort_keys=False))
        return load_study(path)

    return load


def test_points_are_the_grid_without_what_is_skipped_the_first_values_first(study_of, tmp_path):
    grid = {"patches.size": [1, 3], "fit.images": [10, 100]}
    study = study_of(grid, skip=[{"patches.size": 3, "fit.images": 10}])
    assert study.base == str(tmp_path / "base.yaml")
    assert study.points() == [
        {"patches.size": "1", "fit.images": "10"},
        {"patches.size": "1", "fit.images": "100"},
        {"patches.size": "3", "fit.images": "100"},
    ]


def test_a_skip_of_one_option_leaves_out_all_its_points(study_of):
    study = study_of({"patches.size": [1, 3], "fit.images": [10, 100]}, skip=[{"fit.images": 10}])
    assert [point["patches.size"] for point in study.points()] == ["1", "3"]


def test_values_may_have_words_of_their_own(study_of):
    codecs = {"small": {"kind": "pixel", "factor": 2}, "large": {"kind": "pixel", "factor": 8}}
    study = study_of({"codec": codecs}, skip=[{"codec": "large"}])
    assert study.points() == [{"codec": "small"}]
    assert study.words("codec")["large"]["factor"] == 8


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.5"),
        (1e-05, "1e-05"),
        (None, "none"),
        ([], "none"),
        ({}, "none"),
        ([1, 2], "1, 2"),
        ({"kind": "pixel", "factor": 2}, "pixel"),
        ({"size": 3, "fold": "gaussian"}, "size 3, fold gaussian"),
        ("paired", "paired"),
    ],
)
def test_values_in_words(value, words):
    assert in_words(value) == words


@pytest.mark.parametrize(
    ("grid", "others", "told"),
    [
        ({}, {}, "study.grid: "),
        ({"a": []}, {}, "grid.a must have a value, got none"),
        ({"a": 1}, {}, "a must have a list of values, or values by words of your own"),
        ({"a": "word"}, {}, "as {word: value}, got 'word'"),
        ({"a": None}, {}, "as {word: value}, got None"),
        ({"a": {10: 10}}, {}, "words of a must be text, so put it in quotes, got 10"),
        ({"a": [1, 1]}, {}, "grid.a must have values of different words, got 1, 1; give words of"),
        ({"codec": [{"kind": "pixel"}, {"kind": "pixel", "factor": 2}]}, {}, "as {word: value}"),
        ({"a": [1]}, {"skip": [{"b": 1}]}, "skip must name options of the grid, a, got 'b'"),
        ({"a": [1]}, {"skip": [{"a": 2}]}, "skip must name values of grid.a, 1, got 2"),
        ({"a": [1]}, {"set": {"a": 2}}, "an option must be in grid or in set, got 'a' in both"),
        ({"a": [1]}, {"name": "a b"}, "study.name: "),
        (
            {"a": [1]},
            {"grids": 1},
            "study.grids: no such field; known here: base, grid, name, set, skip",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(study_of, grid, others, told):
    with pytest.raises(ConfigurationError) as refused:
        study_of(grid, **others)
    assert told in str(refused.value)


def test_no_point_and_too_many_are_told(study_of):
    study = study_of({"a": [1]}, skip=[{"a": 1}])
    with pytest.raises(ConfigurationError, match="must have a point, got a skip that leaves none"):
        study.points()
    study = study_of({"a": list(range(100)), "b": list(range(11))})
    with pytest.raises(ConfigurationError, match="must have 1000 points at most, got more"):
        study.points()
