"""From moments to the operator: the same for every sharding, refusals in sentences."""

import shutil
import weakref

import numpy as np
import pytest
import torch

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge
from tasks.fit import statistics
from tasks.fit.measure import WHOLE
from tasks.fit.operators import find_operator, read_operator
from tasks.fit.reduce import plan_reduction, shrinkage_of
from tasks.fit.statistics import MomentFiles, Statistics
from tasks.io.artifacts.moments import read_moments, save_moments
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.machine.threads import SIDE_BY_SIDE
from tasks.io.workspace import Workspace
from tests.support.pictures import encode


@pytest.fixture
def fitted(tmp_path, steps, photographs):
    """Shards the photographs and fits an operator."""

    def fit(name="workspace", corpora=None, **sections):
        run = steps(tmp_path / name, corpora or photographs, **sections)
        run.shard()
        run.fit()
        return run

    return fit


def operator_of(run):
    return read_operator(run.workspace, run.config.restored_name, run.operator)


def test_the_operator_does_not_depend_on_sharding(fitted):
    first, *others = [
        operator_of(fitted(f"w{images}", shards={"images": images}))[0] for images in (1, 3, 100)
    ]
    for other in others:
        torch.testing.assert_close(other.matrix, first.matrix)
        torch.testing.assert_close(other.target_mean, first.target_mean)


def test_the_operator_widens_what_the_restorer_narrowed(fitted):
    operator, moments, facts = operator_of(fitted())
    diagnostics = operator.diagnostics
    assert diagnostics.gelbrich_after < 0.01 * diagnostics.gelbrich_before
    assert moments["source"].count == moments["target"].count
    assert facts["pairing"] == "paired"
    assert facts["images"] == 8
    assert 0 < facts["map_standard_error"] < 1


def test_an_unpaired_map_of_few_images_is_shrunk_as_its_record_says(fitted):
    unpaired = {"pairing": "unpaired", "images": 4}
    whole, _, told = operator_of(fitted("whole", fit=unpaired | {"shrink": 0}))
    shrunk, _, facts = operator_of(fitted("shrunk", fit=unpaired))
    assert "shrunk_matrix" not in told
    assert 0 < facts["shrunk_matrix"] <= 1
    assert 0 < facts["shrunk_mean"] <= 1
    identity = torch.eye(len(whole.matrix)).double()
    expected = torch.lerp(whole.matrix, identity, facts["shrunk_matrix"])
    torch.testing.assert_close(shrunk.matrix, expected)
    mean = torch.lerp(whole.target_mean, whole.source_mean, facts["shrunk_mean"])
    torch.testing.assert_close(shrunk.target_mean, mean)


def test_how_far_a_map_is_shrunk_does_not_depend_on_shards(rng):
    files = MomentFiles(source={}, target={}, pairing="unpaired", shrink="auto")
    shifts = torch.randn(6, 3, generator=rng)
    images = {
        key: GaussianMoments.of(shift + torch.randn(30, 3, generator=rng))
        for key, shift in zip("abcdef", shifts, strict=True)
    }
    natural = {"n": GaussianMoments.of(3 * torch.randn(90, 3, generator=rng))}
    natural |= {"o": GaussianMoments.of(2 * torch.randn(90, 3, generator=rng))}
    orders = images, dict(reversed(images.items()))  # as of shards in another order
    first, second = (
        shrinkage_of(files, *(Statistics(merge(s.values()), s) for s in (some, natural)), 1e-5)
        for some in orders
    )
    assert first == second
    assert 0 < first.matrix < 1


def test_a_map_is_shrunk_by_the_number_that_is_asked_for(fitted):
    operator, _, facts = operator_of(fitted(fit={"shrink": 1}))
    torch.testing.assert_close(operator.matrix, torch.eye(operator.dimension).double())
    torch.testing.assert_close(operator.offset(), torch.zeros(operator.dimension).double())
    assert (facts["shrunk_matrix"], facts["shrunk_mean"]) == (1, 1)


def test_a_paired_map_and_one_of_many_images_are_not_shrunk_unless_asked(
    fitted, steps, photographs, tmp_path, monkeypatch
):
    run = fitted()
    asked = steps(tmp_path / "workspace", photographs, fit={"shrink": 0})
    assert find_operator(asked.opened).name == run.operator
    assert "shrunk_matrix" not in operator_of(run)[2]
    monkeypatch.setattr(statistics, "FEW_IMAGES", 3)
    many = {"pairing": "unpaired", "images": 4}
    assert "shrunk_matrix" not in operator_of(fitted("many", fit=many))[2]


def test_fewer_patches_than_dimensions_are_told_with_the_remedy(fitted):
    with pytest.raises(CorpusError, match=r"more patches than the 300 dimensions.*smaller patch"):
        fitted(patches={"size": 5}, fit={"images": 1})


@pytest.mark.parametrize("level", [0, 37, 255])
def test_images_all_of_one_colour_are_told(fitted, photographs, tmp_path, write_images, level):
    constant = {f"{i}.png": np.full((24, 32, 3), level, np.uint8) for i in range(3)}
    corpora = {
        "restored": photographs["restored"],
        "natural": write_images(tmp_path / "constant", constant),
    }
    with pytest.raises(CorpusError, match=r"target patches must vary.*all of one colour"):
        fitted(corpora=corpora)


def test_a_failed_fit_leaves_no_operator(fitted, tmp_path):
    with pytest.raises(CorpusError):
        fitted(patches={"size": 5}, fit={"images": 1})
    assert not (tmp_path / "workspace" / "operators").exists()


def test_an_operator_is_found_by_its_configuration_only(fitted, steps, photographs, tmp_path):
    run = fitted()
    assert find_operator(run.opened).name == run.operator
    for change in ({"fit": {"ridge": 0.1}}, {"fit": {"images": 3}}, {"patches": {"size": 3}}):
        other = steps(tmp_path / "workspace", photographs, **change)
        with pytest.raises(StepMissing, match="run `dotpipe fit CONFIG` first"):
            find_operator(other.opened)


def test_a_second_run_solves_nothing_and_another_ridge_only_the_operator(
    fitted, steps, photographs, tmp_path
):
    run = fitted()
    assert plan_reduction(run.opened, run.select())[1] is None
    other = steps(tmp_path / "workspace", photographs, fit={"ridge": 0.1})
    assert other.fit() == []
    assert other.operator != run.operator


def test_equal_runs_write_equal_operators(fitted):
    first, second = (fitted(name) for name in ("one", "two"))
    paths = [
        run.workspace.store.local(f"operators/run/{run.operator}.safetensors")
        for run in (first, second)
    ]
    assert paths[0].name == paths[1].name
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_singular_source_gives_a_stochastic_operator(
    fitted, photographs, pixels, tmp_path, write_images
):
    # pairs of equal pixels: a quarter of the source's dimensions, and no more
    blocks = {f"{i}.png": pixels(i, 12, 16).repeat(2, axis=0).repeat(2, axis=1) for i in range(5)}
    corpora = {
        "restored": write_images(tmp_path / "blocks", blocks),
        "natural": photographs["natural"],
    }
    operator, _, _ = operator_of(fitted(corpora=corpora, fit={"ridge": 0, "shrink": 0}))
    assert operator.is_stochastic
    assert operator.diagnostics.source_rank == 3
    assert operator.diagnostics.push_forward_error < 1e-6  # of float64, through square roots


@pytest.mark.parametrize("damaged", ["restored", "natural"])
def test_of_a_pair_with_a_damaged_image_neither_is_in_the_fit(
    fitted, photographs, pixels, tmp_path, damaged
):
    whole, without = (
        {role: shutil.copytree(folder, tmp_path / name / role) for role, folder in named}
        for name, named in (("whole", photographs.items()), ("without", photographs.items()))
    )
    (whole[damaged] / "a" / "2.png").unlink()
    (whole[damaged] / "a" / "2.jpg").write_bytes(encode(pixels(2), "jpeg")[:-300])
    for folder in without.values():
        (folder / "a" / "2.png").unlink()
    (operator, moments, facts), (expected, expected_moments, _) = (
        operator_of(fitted(f"w-{name}", corpora, fit={"pairing": "paired"}))
        for name, corpora in (("whole", whole), ("without", without))
    )
    assert facts["pairing"] == "paired"
    for side in ("source", "target"):
        assert moments[side].count == expected_moments[side].count
    torch.testing.assert_close(operator.matrix, expected.matrix)
    torch.testing.assert_close(operator.offset(), expected.offset())


def test_moments_are_merged_in_the_order_of_shards_with_few_in_memory(tmp_path, rng, monkeypatch):
    shards = [GaussianMoments.of(torch.randn(9, 4, generator=rng)) for _ in range(200)]
    for number, moments in enumerate(shards):
        save_moments({WHOLE: moments}, tmp_path / f"{number}.safetensors")
    alive, most = weakref.WeakSet(), 0

    def watched(store, path):
        nonlocal most
        parts = read_moments(store, path)
        alive.add(parts[WHOLE].scatter)
        most = max(most, len(alive))
        return parts

    monkeypatch.setattr(statistics, "read_moments", watched)
    files = {str(number): "digest" for number in range(len(shards))}
    both = MomentFiles(source=files, target=files, pairing="unpaired")
    for each in both.read(Workspace(str(tmp_path))):
        assert torch.equal(each.whole.scatter, sum(shards[1:], start=shards[0]).scatter)
    assert most < 4 * SIDE_BY_SIDE
