import gc
import statistics
import time
from collections.abc import Callable

import pytest
from diffusers import AutoencoderTiny
from PIL import Image

from dot_kernels.degradations import Noise
from tasks.config import Config
from tasks.config.compute import Compute, Shards
from tasks.config.corpora import Corpora, Corpus
from tasks.config.patches import Patches
from tasks.config.sections import Enhance, Evaluate, Fit
from tasks.io.networks.codecs import Autoencoder, Pixel
from tasks.io.networks.restorers import Bicubic


def pytest_collection_modifyitems(items):
    for item in items:
        if "benchmarks" in item.path.parts:
            item.add_marker(pytest.mark.benchmark_suite)


@pytest.fixture
def compared(benchmark):
    """Time two functions in turn; the median ratio of their times, pair by pair."""

    def measure(ours: Callable, theirs: Callable, rounds: int = 5) -> float:
        other: list[float] = []
        benchmark.pedantic(ours, setup=lambda: other.append(_seconds(theirs)), rounds=rounds)
        mine = benchmark.stats.stats.data
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        benchmark.extra_info["ratio"] = ratio
        ours_s, theirs_s = statistics.median(mine), statistics.median(other)
        print(f"\n{benchmark.name}: {ours_s:.4g} s against {theirs_s:.4g} s, ratio {ratio:.3g}")
        return ratio

    return measure


def _seconds(work: Callable) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.fixture(scope="session")
def tiny_autoencoder(tmp_path_factory):
    """An auto-encoder of TAESD's architecture, random weights: it costs the same."""
    folder = tmp_path_factory.mktemp("tiny-autoencoder")
    AutoencoderTiny().save_pretrained(folder)
    return Autoencoder(kind="autoencoder-tiny", weights=str(folder))


@pytest.fixture
def make_config(tmp_path):
    """A configuration over a folder of photographs-like JPEG files, bicubic as restorer."""

    def make(photographs, codec=None, **changes) -> Config:
        sections = {
            "name": "bench",
            "workspace": str(tmp_path / f"workspace-{len(list(tmp_path.iterdir()))}"),
            "corpora": Corpora(reference=Corpus(path=str(photographs))),
            "degrade": (Noise(sigma=0.1),),
            "restore": Bicubic(kind="bicubic"),
            "codec": codec or Pixel(factor=8),
            "patches": Patches(size=1),
            "fit": Fit(images=8),
            "enhance": Enhance(alphas=(0.0,)),
            "evaluate": Evaluate(lpips=None, features=None, controls=False, curve=None),
            "shards": Shards(images=16),
            "compute": Compute(device="cpu"),
        }
        return Config(**sections | changes)

    return make


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A function that writes smooth-noise JPEG files: how many, how large."""
    import numpy as np

    def write(count: int, side: int):
        folder = tmp_path_factory.mktemp(f"photographs-{count}-{side}")
        random = np.random.default_rng(0)
        for number in range(count):
            coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
            fine = np.asarray(image, dtype=np.int16) + random.integers(-12, 13, (side, side, 3))
            image = Image.fromarray(fine.clip(0, 255).astype(np.uint8))
            image.save(folder / f"{number:05d}.jpg", quality=90)
        return folder

    return write
