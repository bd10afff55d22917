"""The memory of the pass follows from the size of a tile, not from that of an image."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "tests" / "support" / "large_picture.py"


def memory_over(height, width, tile, **environment):
    """MiB that one picture takes over the process before it, at the most."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, (height, width, tile))],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    before, most = map(int, done.stdout.split())
    return (most - before) / 2**20


def test_a_larger_image_takes_little_more_memory(tmp_path):
    without = {"TORCH_HOME": str(tmp_path)}  # that is, without LPIPS and features
    small, large = (memory_over(height, 1024, 128, **without) for height in (512, 3072))
    # Of the other 2.6 megapixels, a WebP encoder takes 25 bytes each, and the latents some.
    assert large < small + 160


@pytest.mark.slow
def test_an_image_of_8_megapixels_takes_less_than_a_gigabyte_and_a_half(test_data):
    home = test_data / "weights" / "torch_home"
    assert memory_over(2309, 3464, 512, TORCH_HOME=str(home)) < 1.5e9 / (1 << 20)
