"""The Gelbrich distance of latent patches and its error, from the moments of shards."""

import numpy as np
import pytest
import torch

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.uncertainty import distance_standard_error
from tasks.enhance.features import LATENT_GROUPS, LATENT_PATCHES, no_moments
from tasks.evaluate.patch_distance import distance_of_patches
from tasks.io.artifacts.moments import save_moments
from tasks.io.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.fixture
def natural(rng):
    return GaussianMoments.of(torch.randn(200, 3, generator=rng))


@pytest.fixture
def write(store):
    """Writes the moments of shards, as enhancement does, and returns their paths."""

    def save(shards):
        paths = [f"{number}.safetensors" for number in range(len(shards))]
        for path, parts in zip(paths, shards, strict=True):
            save_moments(parts, store.local(path))
        return paths

    return save


def test_the_variance_reached_is_that_of_numpy_direction_by_direction(store, natural, write, rng):
    patches = torch.randn(300, 3, generator=rng) * torch.tensor([0.5, 1.0, 2.0])
    row = distance_of_patches(store, write([in_groups(patches)]), natural)
    values, vectors = np.linalg.eigh(natural.covariance().numpy())
    reached = np.var(patches.double().numpy() @ vectors, axis=0, ddof=1) / values
    assert row["variance_reached_median"] == pytest.approx(np.median(reached))
    assert row["variance_reached_least"] == pytest.approx(reached.min())


def in_groups(patches):
    """Moments of all patches and of each of ten groups of them."""
    groups = {name: GaussianMoments.of(patches[g::10]) for g, name in enumerate(LATENT_GROUPS)}
    return {LATENT_PATCHES: GaussianMoments.of(patches)} | groups


def given(natural):
    return [natural, *[GaussianMoments.zero(3)] * 9]


def test_groups_of_images_are_merged_over_shards(rng, store, write, natural):
    shards = [torch.randn(60, 3, generator=rng) + 1 for _ in range(2)]
    found = distance_of_patches(store, write([in_groups(x) for x in shards]), natural)
    groups = [GaussianMoments.of(torch.cat([x[g::10] for x in shards])) for g in range(10)]
    expected = gelbrich_distance(GaussianMoments.of(torch.cat(shards)), natural)
    assert found["gelbrich"] == pytest.approx(expected)
    assert found["gelbrich_error"] == pytest.approx(distance_standard_error(groups, given(natural)))


def test_shards_are_the_groups_where_none_were_kept(rng, store, write, natural):
    shards = [torch.randn(30, 3, generator=rng) + 1 for _ in range(12)]
    paths = write([{LATENT_PATCHES: GaussianMoments.of(x)} for x in shards])
    groups = [GaussianMoments.of(torch.cat(shards[g::10])) for g in range(10)]
    error = distance_of_patches(store, paths, natural)["gelbrich_error"]
    assert error == pytest.approx(distance_standard_error(groups, given(natural)))


def test_four_groups_tell_no_error(rng, store, write, natural):
    shards = [{LATENT_PATCHES: GaussianMoments.of(torch.randn(30, 3, generator=rng))}] * 5
    assert distance_of_patches(store, write(shards), natural)["gelbrich_error"] is not None
    few = distance_of_patches(store, write(shards[:4]), natural)
    assert few["gelbrich"] is not None
    assert few["gelbrich_error"] is None


def test_without_patches_there_is_no_distance(store, write, natural):
    for paths in ([], write([in_groups(torch.zeros(0, 3))])):
        row = distance_of_patches(store, paths, natural)
        assert set(row.values()) == {None}
        assert len(row) == 4


def test_groups_are_kept_while_they_are_small():
    assert len(no_moments(256)) == 10
    assert len(no_moments(257)) == 1
