"""Fidelity metrics against torch-fidelity's way, and their memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch_fidelity.metric_fid import fid_statistics_to_metric

from dot_kernels import GaussianMoments, gelbrich_distance
from tasks.io.artifacts.features import FeatureWriter

DIMENSION, SHARDS = 2048, 4

FIDELITY = """
import sys
from costs.process_memory import used
from dot_kernels.metrics import frechet_distance, kernel_distance, precision_recall
from tasks.io.artifacts import features
from tasks.io.artifacts.features import read_statistics
from tasks.io.store.store import Store
folder, block, *names = sys.argv[1:]
features.BLOCK = int(block)
a, b = (read_statistics(Store(f"{folder}/{side}"), names, 2000) for side in ("a", "b"))
distance = frechet_distance(a, b)
kernel = kernel_distance(a.features, b.features, subset_size=100)
precision = precision_recall(a, b)
assert distance.error is not None and kernel is not None and precision is not None
print(a.count, used("VmHWM"))
"""


def draw_features(count, rng, shift=0.0):
    """As Inception's: positive, of many sizes, correlated."""
    few = torch.randn(count, 256, generator=rng) @ torch.randn(256, DIMENSION, generator=rng) / 16
    scale = torch.logspace(-1, 0.5, DIMENSION)
    return (few + torch.randn(count, DIMENSION, generator=rng) + shift).exp().clamp(max=5) * scale


@pytest.fixture
def drawn(rng):
    """The moments of two sets of so many images, and torch-fidelity's form of them."""

    def draw(count):
        sides = [GaussianMoments.of(draw_features(count, rng, shift)) for shift in (0.0, 0.1)]
        return sides, [{"mu": m.mean.numpy(), "sigma": m.covariance().numpy()} for m in sides]

    return draw


def by_torch_fidelity(statistics):
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


@pytest.mark.parametrize("count", [5000, 500])
def test_distance_is_had_three_times_faster_than_by_torch_fidelity(compared, drawn, count):
    sides, statistics = drawn(count)
    # With fewer images than features theirs takes roots of rounding, in each empty direction.
    close = pytest.approx(by_torch_fidelity(statistics), rel=1e-9 if count > DIMENSION else 1e-6)
    assert gelbrich_distance(*sides) == close
    ratio = compared(lambda: gelbrich_distance(*sides), lambda: by_torch_fidelity(statistics), 3)
    assert ratio < 1 / 3


@pytest.fixture
def peak_bytes(tmp_path, rng):
    """Peak resident memory of a process that reads so many images' features and scores them."""

    def measure(count, block):
        folder = tmp_path / str(count)
        names = [f"{number}.parquet" for number in range(SHARDS)]
        for side in ("a", "b"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(names):
                writer = FeatureWriter(folder / side / name, DIMENSION, "drawn")
                for start in range(0, count // SHARDS, 50):
                    keys = [f"{number}/{start + index:05d}" for index in range(50)]
                    writer.add(keys, list(draw_features(50, rng)))
                writer.close()
        done = subprocess.run(
            [sys.executable, "-c", FIDELITY, str(folder), str(block), *names],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
            text=True,
            check=True,
            stdout=subprocess.PIPE,
        )
        images, peak = map(int, done.stdout.split())
        assert images == count
        return peak

    return measure


def test_peak_memory_does_not_grow_with_the_images(peak_bytes):
    """In blocks of 100 images, so that statistics are added up in either run."""
    few, many = peak_bytes(200, 100), peak_bytes(2000, 100)
    print(
        f"\npeak memory of fidelity: {few / 2**20:.0f} MiB for 200 images, "
        f"{many / 2**20:.0f} MiB for 2000"
    )
    assert many < 1.1 * few
