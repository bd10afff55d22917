"""Files of sums of features: what comes back, and what is refused."""

import pytest
import torch

from dot_kernels.metrics import FeatureStatistics
from tasks.io.artifacts.feature_sums import SumFile, read_feature_sums, save_feature_sums
from tasks.io.artifacts.features import Apart
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.store import Store

MARK = "0123"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.fixture
def images(rng):
    """Features of 68 images, their draws, and which of them are of the fit."""
    draws = torch.arange(68) * 7919 % 1009
    return torch.randn(68, 6, generator=rng) + 3, draws, torch.arange(68) % 3 == 1


@pytest.fixture
def statistics(images):
    """Statistics of those images that a mask chooses, with a sample of four at most."""
    features, draws, _ = images

    def of(chosen):
        if not bool(chosen.any()):
            return None
        return FeatureStatistics.of(features[chosen], draws[chosen], capacity=4)

    return of


@pytest.fixture
def write(store, images, statistics):
    """Writes the sums of images from one number to another, those of the fit apart."""
    _, draws, fitted = images

    def written(start, stop, fitted=fitted, mark=MARK):
        here = (torch.arange(68) >= start) & (torch.arange(68) < stop)
        sums = Apart(statistics(here & ~fitted), statistics(here & fitted), draws[start:stop])
        name = f"{start}-{stop}"
        save_feature_sums(sums, store.local(name), mark)
        return SumFile(name, MARK)

    return written


def assert_equal(found, expected):
    for mine, other in zip(found.groups, expected.groups, strict=True):
        assert mine.count == other.count
        torch.testing.assert_close(mine.mean, other.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(mine.scatter, other.scatter, rtol=1e-12, atol=1e-12)
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.draws, expected.draws)
    assert found.capacity == expected.capacity


def test_sums_of_files_are_those_of_their_images(store, images, statistics, write):
    files = [write(0, 40), write(40, 43), write(43, 68)]
    everything = torch.full((68,), True)
    assert_equal(read_feature_sums(store, files, with_fitted=True), statistics(everything))
    assert_equal(read_feature_sums(store, files, with_fitted=False), statistics(~images[2]))


def test_scatters_come_back_symmetric(store, write):
    for group in read_feature_sums(store, [write(0, 68)], with_fitted=True).groups:
        assert torch.equal(group.scatter, group.scatter.mT)


def test_of_no_image_there_are_none(store, statistics, write):
    nothing, everything = torch.full((68,), False), torch.full((68,), True)
    assert read_feature_sums(store, [], with_fitted=True) is None
    empty, fitted = write(5, 5), write(0, 68, everything)
    assert read_feature_sums(store, [empty, fitted], with_fitted=False) is None
    assert_equal(
        read_feature_sums(store, [empty, fitted], with_fitted=True), statistics(everything)
    )
    others = write(0, 68, nothing)
    assert_equal(read_feature_sums(store, [others], with_fitted=False), statistics(everything))


def test_equal_sums_have_equal_bytes(store, write):
    before = store.read(write(0, 68).path)
    assert store.read(write(0, 68).path) == before


def test_sums_of_other_shards_are_refused(store, write):
    file = write(0, 40, mark="4567")
    with pytest.raises(
        StepMissing,
        match=r"^0-40 must be of features with the fingerprint 0123, got those with 4567, as w",
    ):
        read_feature_sums(store, [file], with_fitted=True)


def test_sums_that_are_gone_or_damaged_are_told(store, write):
    file = write(0, 40)
    path = store.local(file.path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactDamaged, match="0-40 must hold the tensors"):
        read_feature_sums(store, [file], with_fitted=True)
    path.unlink()
    with pytest.raises(ArtifactDamaged, match="repair"):
        read_feature_sums(store, [file], with_fitted=True)
