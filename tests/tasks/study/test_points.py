"""The points of a study: what is put where, what they share, and what each has of its own."""

import pytest
import yaml

from tasks.io.errors import ConfigurationError
from tasks.study.points import points_of
from tasks.study.study_file import Study

BASE = {
    "workspace": "workspace",
    "corpora": {"natural": {"path": "natural"}, "reference": {"path": "reference"}},
    "degrade": [{"kind": "noise", "sigma": 0.1}],
    "restore": {"kind": "non-local-means"},
    "codec": {"kind": "pixel", "factor": 2},
}


@pytest.fixture
def configs(tmp_path):
    """The configurations of a grid over a base."""

    def made(grid, base=BASE, **others):
        path = tmp_path / "base.yaml"
        path.write_text(yaml.safe_dump(base))
        study = Study(name="s", base=str(path), grid=grid, **others)
        return [point.config for point in points_of(study)]

    return made


def test_values_are_put_in_their_places(configs, tmp_path):
    small = {"kind": "pixel", "factor": 4}
    grid = {"degrade.0.sigma": [0.2], "fit.images": [7], "codec": {"small": small}}
    (config,) = configs(grid)
    assert config.degrade[0].sigma == 0.2
    assert config.fit.images == 7
    assert config.codec.factor == 4
    assert config.workspace == str(tmp_path / "workspace")


def test_values_that_are_sections_are_the_same_for_whoever_asks_again(tmp_path):
    base, degrade = tmp_path / "base.yaml", [{"kind": "noise", "sigma": 0.1}]
    base.write_text(yaml.safe_dump(BASE))
    restorers = [{"kind": "bicubic"}, {"kind": "non-local-means"}]
    study = Study(name="s", base=str(base), grid={"restore": restorers}, set={"degrade": degrade})
    assert points_of(study) == points_of(study)
    assert study.grid["restore"] == ({"kind": "bicubic"}, {"kind": "non-local-means"})


def test_options_of_a_section_that_is_given_too_are_put_into_it_in_either_order(configs):
    section, strengths = {"kind": "non-local-means"}, [0.5, 0.8]
    first = configs({"restore": [section], "restore.strength": strengths})
    assert [config.restore.strength for config in first] == strengths
    assert configs({"restore.strength": strengths, "restore": [section]}) == first


def test_a_name_of_ones_own_stands_for_several_options(configs):
    noise = {"degrade": [{"kind": "noise", "sigma": 0.2}], "restore.strength": 0.5}
    small = {"degrade": [{"kind": "downscale", "factor": 2}], "restore": {"kind": "bicubic"}}
    first, second = configs({"task": {"noise": noise, "small": small}})
    assert (first.degrade[0].sigma, first.restore.strength) == (0.2, 0.5)
    assert second.restore.kind == "bicubic"
    assert first.restored_name != second.restored_name


def test_points_that_restore_alike_share_what_is_restored(configs):
    first, second = configs({"patches.size": [1, 3]})
    assert first.restored_name == second.restored_name == "s"
    assert first.source_name == second.source_name
    assert first.name != second.name
    assert {first.natural_name, second.natural_name} == {"natural"}


@pytest.mark.parametrize(
    "grid",
    [
        {"degrade.0.sigma": [0.1, 0.2]},
        {"restore.strength": [0.5, 0.8]},
        {"corpora.reference.limit": [10, 20]},
    ],
)
def test_points_that_restore_otherwise_have_sets_of_their_own(configs, grid):
    first, second = configs(grid)
    assert first.restored_name != second.restored_name
    assert first.enhance.name is second.enhance.name is None


@pytest.mark.parametrize(
    "grid",
    [
        {"enhance.low_share": [0, 1]},
        {"enhance": [{"decoding": "direct"}, {"low_share": 0.5}]},
        {"enhance.alphas": {"one": [0.5], "two": [0, 0.5]}},
        {"patches.fold": ["uniform", "gaussian"]},
        {"evaluate.controls": [True, False]},
        {"way": {"a": {"enhance.low_share": 1, "patches.size": 3}, "b": {"patches.size": 3}}},
    ],
)
def test_points_that_enhance_or_evaluate_otherwise_have_results_of_their_own(configs, grid):
    first, second = configs(grid)
    assert first.restored_name == second.restored_name == "s"
    assert first.enhance.name != second.enhance.name
    assert len(first.enhance.name) == 8


def test_an_option_of_enhancement_that_all_points_share_names_no_results(configs):
    first, second = configs({"patches.size": [1, 3]}, fixed={"enhance.low_share": 1})
    assert first.enhance.name is second.enhance.name is None
    assert first.restored_name == second.restored_name


def test_images_that_are_varied_have_data_sets_of_their_own(configs):
    first, second = configs({"corpora.natural.limit": [10, 20]})
    assert first.natural_name != second.natural_name
    assert first.natural_name.startswith("natural-")
    assert first.reference_name == second.reference_name == "reference"


@pytest.mark.parametrize(
    "grid",
    [
        {"corpora.natural": [{"path": "a"}, {"path": "b"}]},
        {"corpora": {w: {"natural": {"path": w}, "reference": {"path": "c"}} for w in "ab"}},
        {"shards.max_pixels": [4096, 8192]},
    ],
)
def test_images_that_are_others_have_data_sets_of_their_own(configs, grid):
    first, second = configs(grid)
    assert first.natural_name != second.natural_name


def test_images_to_train_on_have_data_sets_of_their_own(configs):
    corpora = BASE["corpora"] | {"training": {"path": "training"}}
    trained = BASE | {"corpora": corpora, "restore": {"kind": "residual-transport"}}
    first, second = configs({"corpora.training.limit": [10, 20]}, trained)
    assert first.clean_name != second.clean_name
    assert first.natural_name == second.natural_name == "natural"


def test_what_is_set_holds_for_all_points_and_has_data_sets_of_its_own(configs):
    fixed = {"corpora.natural.limit": 7, "enhance.alphas": [0.5]}
    first, second = configs({"patches.size": [1, 3]}, fixed=fixed)
    assert first.enhance.alphas == second.enhance.alphas == (0.5,)
    assert first.natural_name == second.natural_name != "natural"
    (plain, _) = configs({"patches.size": [1, 3]})
    assert plain.name != first.name


def test_a_value_more_changes_no_other_point(configs):
    few = configs({"patches.size": [1, 3]})
    more = configs({"patches.size": [1, 3, 5]})
    assert more[:2] == few


def test_images_that_are_given_restored_are_shared_too(configs):
    given = BASE | {"corpora": BASE["corpora"] | {"restored": {"path": "restored"}}}
    del given["degrade"], given["restore"]
    first, second = configs({"patches.size": [1, 3]}, given)
    assert first.restored_name == second.restored_name == "s"


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"workspace.x": [1]}, "got 'workspace' at 'workspace', which has no options"),
        ({"degrade.1.sigma": [1]}, "must name one of the 1 that the base lists, counted from 0"),
        ({"degrade.first.sigma": [1]}, "got 'first'"),
        ({"patches.sizes": [1]}, "patches.sizes: no such field; known here: fold, size"),
        ({"task": [1]}, "must be an option of a configuration, or have values that name some"),
        ({"task": {"a": {1: 2}}}, "must be an option of a configuration, or have values that name"),
        (
            {"task": {"a": {"fit.images": 3}}, "fit.images": [4]},
            "one value at a point, got 3 and 4",
        ),
        ({"images": {"few": {"fit.images": 3}}}, "grid.images must have another name"),
        ({"workspace": ["a"]}, "a study must leave `workspace` alone, got 'a': its points share"),
        ({"enhance.name": ["a"]}, "a study must leave `enhance.name` alone, got 'a': results of"),
        ({"name": ["a"]}, "a study must leave `name` alone, got 'a'"),
        ({"patches.size": [0]}, "base.yaml at patches.size: 0 breaks 1 rule"),
    ],
)
def test_an_option_that_is_none_is_told_with_its_point(configs, grid, told):
    with pytest.raises(ConfigurationError) as refused:
        configs(grid)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "grid",
    [
        {"evaluate.lpips": ["alex", "vgg"]},
        {"way": {"a": {"evaluate.features": "squeezenet"}, "b": {"evaluate.features": None}}},
        {"evaluate": [{"lpips": "alex"}, {"lpips": "vgg"}]},
    ],
)
def test_points_have_metrics_by_the_same_networks(configs, grid):
    with pytest.raises(ConfigurationError, match=r"grid must leave evaluate\.(lpips|features)"):
        configs(grid)


@pytest.mark.parametrize("corpora", [None, [1]])
def test_corpora_that_are_no_section_are_told(configs, corpora):
    given = {key: value for key, value in BASE.items() if key not in ("degrade", "restore")}
    with pytest.raises(ConfigurationError, match="corpora: "):
        configs({"corpora": [corpora]}, given)
