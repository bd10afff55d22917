"""What the points of a study share: each image of the fit is restored and encoded once."""

import shutil
from collections import Counter

import pytest
from networks.small_autoencoders import tiny_codec
from workspaces.plain_pipeline import do
from workspaces.studies import study_in

from dot_kernels.restorers import bicubic
from tasks.config import Run
from tasks.config.registry import drop, register
from tasks.fit import measure
from tasks.fit.operators import fitted
from tasks.io.networks.loaded_restorers import ImageByImage
from tasks.io.workspace import Workspace
from tasks.pipeline import VERBS, is_finished
from tasks.restore import restore
from tasks.study.points import points_of
from tasks.upkeep.cleaning.waste import clean

GRID = {"patches.size": (1, 2), "fit.images": (2, 4), "fit.pairing": ("unpaired", "paired")}


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """A small auto-encoder with random weights, in a folder."""
    return tiny_codec(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def points_in(photographs, codec):
    """The points of a grid over eight images to fit on, and eight others, in a folder."""

    def points(folder, grid):
        study = study_in(
            folder,
            photographs,
            grid,
            codec=codec,
            transport={"levels": "none"},
            enhance={"alphas": [0], "low_share": 1, "decoding": "direct"},
            shards={"images": 3},
        )
        return [point.config for point in points_of(study)]

    return points


def run(configs, last="evaluate"):
    verbs = VERBS[: VERBS.index(last) + 1]
    for config in configs:
        do(Run.of(config), lambda step: step.verb in verbs and not step.repeats)


@pytest.fixture(scope="module")
def counted():
    """How many images were restored, and encoded for the fit, since this was last emptied."""
    seen, load = Counter(), measure.load_pictures

    def restored(degraded, degradations):
        seen["restored"] += 1
        return bicubic(degraded, degradations)

    def loaded(store, window, *rest):
        seen["encoded"] += len(window)
        return load(store, window, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "load_restorer", lambda *_: ImageByImage(restored))
        patch.setattr(measure, "load_pictures", loaded)
        yield seen


@pytest.fixture(scope="module")
def study(tmp_path_factory, points_in, counted):
    """The points of the study, done one after the other, and what that took."""
    configs = points_in(tmp_path_factory.mktemp("study"), GRID)
    run(configs)
    return configs, dict(counted)


@pytest.fixture
def copied(study, tmp_path, points_in, counted):
    """The same in a folder of its own, for another grid of which these points are done."""
    shutil.copytree(study[0][0].workspace, tmp_path / "workspace")
    counted.clear()
    return lambda grid: points_in(tmp_path, grid)


def fits(config):
    """The records of all that operators are made of."""
    store = Workspace(config.workspace).store
    return {
        name for k in ("datasets", "moments", "operators") for name in store.names(f"ledger/{k}")
    }


def test_each_image_is_restored_and_encoded_once_for_all_points(study):
    """Of pairs the first four of eight are drawn; of others every second one, on either side."""
    assert study[1] == {"restored": 8 + 6, "encoded": 6 + 6}


@pytest.mark.parametrize("number", [0, 3, 6])
def test_each_point_is_to_the_bit_what_its_run_alone_gives(study, number, tmp_path):
    point = study[0][number]
    alone = point.model_copy(update={"workspace": str(tmp_path)})
    run([alone])
    own = Workspace(alone.workspace).ledger.survey("")
    shared = Workspace(point.workspace).ledger.survey("")
    kinds = {artifact.split("/")[0] for artifact in own.artifacts()}
    assert kinds >= {"datasets", "moments", "operators", "enhanced", "metrics", "reports"}
    for artifact in own.artifacts():
        assert shared.records(artifact) == own.records(artifact)
    operator = f"operators/s/{fitted(Run.of(alone)).operator.name}.safetensors"
    files = [Workspace(each.workspace).store.read(operator) for each in (point, alone)]
    assert files[0] == files[1]


def test_a_size_and_a_number_more_compute_only_that(study, copied, counted):
    before = fits(study[0][0])
    more = copied({**GRID, "patches.size": (1, 2, 3), "fit.images": (2, 4, 5)})
    assert sum(is_finished(config, "evaluate") for config in more) == len(study[0])
    run(more, "fit")
    assert counted == {"restored": 1, "encoded": 1}  # the fifth pair; it was its natural side
    assert before < fits(more[0])


def test_what_is_killed_is_taken_up(study, tmp_path, points_in, monkeypatch):
    configs, real = points_in(tmp_path, GRID), measure.save_moments
    calls = iter(range(7))

    def deadly(*args, **facts):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(*args, **facts)

    monkeypatch.setattr(measure, "save_moments", deadly)
    with pytest.raises(KeyboardInterrupt):
        run(configs, "fit")
    monkeypatch.undo()
    run(configs, "fit")
    matches = {name for name in fits(study[0][0]) if "/matches/" in name}  # made for the pass
    assert fits(configs[0]) == fits(study[0][0]) - matches


def test_a_clean_up_keeps_latents_of_points_and_removes_those_of_points_that_are_gone(copied):
    configs = copied(GRID)
    store = Workspace(configs[0].workspace).store

    def latents():
        return {name for name in store.names("moments") if name.endswith(".latents.safetensors")}

    for config in configs:
        register(config)
    before = latents()
    clean(configs[0])
    assert latents() == before
    for config in configs[1:]:
        drop(store, config.name)
    clean(configs[0])
    assert is_finished(configs[0], "evaluate")
    left = latents()
    assert set() < left < before
    run(configs[1:], "fit")
    assert latents() >= left
    assert all(is_finished(config, "fit") for config in configs)
