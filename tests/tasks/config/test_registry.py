"""The configurations that a workspace serves."""

import pytest

from tasks.config.registry import (
    CONFIGURATIONS,
    drop,
    register,
    registered,
    require_registered,
    taken_over,
)
from tasks.io.errors import ConfigurationError
from tasks.io.workspace import MARK


@pytest.fixture
def served(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    first = steps(tmp_path / "workspace", corpora)
    second = steps(tmp_path / "workspace", corpora, name="second")
    for each in (first, second):
        register(each.config)
    return first, second


def test_a_workspace_knows_the_configurations_that_it_serves(served):
    store = served[0].workspace.store
    assert list(registered(store)) == [each.config for each in served]


def test_registering_the_same_again_writes_nothing(served):
    path = served[0].workspace.store.local(f"{CONFIGURATIONS}/run.json")
    before = path.stat()
    register(served[0].config)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_workspace_that_serves_a_configuration_bears_its_mark(served):
    assert served[0].workspace.store.read(MARK).startswith(b"A workspace of dotpipe")


def test_a_changed_configuration_takes_the_place_of_its_name(served):
    changed = served[0].config.model_copy(update={"fit": served[0].config.fit.model_copy()})
    changed = type(changed).model_validate(changed.model_dump() | {"degrade": ()})
    register(changed)
    assert len(list(registered(served[0].workspace.store))) == 2


def test_a_data_set_that_another_file_of_the_same_name_made_is_told(served, steps, photographs):
    first = served[0].config
    corpora = {"restored": photographs["natural"], "reference": photographs["natural"]}
    other = steps(first.workspace, corpora).config
    (sentence,) = taken_over(other)
    restored, natural = (str(photographs[name]) for name in ("restored", "natural"))
    assert f"data set 'run' of {first.workspace} was made otherwise" in sentence
    assert f"from {restored!r}, and is now made from {natural!r}" in sentence
    assert sentence.endswith("stop, and give this one a `name:` of its own")


def test_a_data_set_of_the_same_images_with_other_options_is_told(served):
    changed = served[0].config.model_dump()
    changed["shards"]["max_pixels"] = 10_000
    told = taken_over(type(served[0].config).model_validate(changed))
    assert told
    assert all("as now, but with other options: its shards are replaced" in each for each in told)


def test_nothing_is_told_of_the_same_data_sets_nor_of_none_before(served, steps, tmp_path):
    first = served[0]
    assert taken_over(first.config) == []
    enhanced = first.config.enhance.model_copy(update={"alphas": (0.25,)})
    assert taken_over(first.config.model_copy(update={"enhance": enhanced})) == []
    elsewhere = {"workspace": str(tmp_path / "other")}
    assert taken_over(first.config.model_copy(update=elsewhere)) == []
    first.workspace.store.write(f"{CONFIGURATIONS}/run.json", b'{"name": "run", "unknown": 1}')
    assert taken_over(first.config) == []


def test_a_configuration_can_be_dropped_by_name(served):
    store = served[0].workspace.store
    drop(store, "second")
    assert [each.name for each in registered(store)] == ["run"]
    with pytest.raises(ConfigurationError, match="--drop must name one of the configurations run"):
        require_registered(store, ["second"])


def test_one_of_another_version_is_told_with_the_remedy(served):
    store = served[0].workspace.store
    store.write(f"{CONFIGURATIONS}/old.json", b'{"name": "old", "unknown": 1}')
    with pytest.raises(ConfigurationError, match=r"'old'.*drop it with --drop old"):
        list(registered(store))
    assert [each.name for each in registered(store, without=["old"])] == ["run", "second"]


def test_one_of_another_version_gives_way_to_one_of_its_name(served):
    store, config = served[0].workspace.store, served[0].config
    store.write(f"{CONFIGURATIONS}/run.json", b'{"name": "run", "unknown": 1}')
    register(config)
    assert config in list(registered(store))


def test_two_configurations_do_not_make_one_data_set_in_two_ways(served, steps, photographs):
    first = served[0]
    corpora = {"restored": photographs["restored"], "reference": photographs["restored"]}
    other = steps(first.config.workspace, corpora, name="third")
    with pytest.raises(ConfigurationError, match=r"'reference' of .* by the configuration 'run'"):
        register(other.config)
    resized = {"path": str(photographs["natural"]), "resize": 16}
    other = steps(first.config.workspace, corpora | {"reference": resized}, name="third")
    with pytest.raises(ConfigurationError, match="must be made in one way"):
        register(other.config)
    unused = {"path": str(photographs["natural"]), "resize_filter": "area"}
    register(steps(first.config.workspace, corpora | {"reference": unused}, name="fourth").config)
    register(first.config)
