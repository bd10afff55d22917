"""Large images against the same pixels in small ones, and the memory that they take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import plain_pipeline as pipeline

from tasks.config.patches import Patches
from tasks.config.sections import Curve, Evaluate, Fit
from tasks.io.workspace import Workspace

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "large_picture.py"
SIDE = 2048
"""Of the large image: as many pixels as 64 images of 256 × 256."""


def test_a_large_image_costs_little_more_than_its_pixels_in_small_ones(
    compared, make_config, photographs, tiny_autoencoder
):
    configs = []
    for folder in (photographs(1, SIDE), photographs((SIDE // 256) ** 2, 256)):
        evaluate = Evaluate(lpips=None, features=None, controls=True, curve=Curve())
        sections = {"patches": Patches(size=3), "fit": Fit(images=1), "evaluate": evaluate}
        config = make_config(folder, tiny_autoencoder, **sections)
        pipeline.shard(config, Workspace(config.workspace))
        pipeline.fit(config, Workspace(config.workspace))
        configs.append(config)
    large, small = configs
    ratio = compared(lambda: pipeline.enhance_anew(large), lambda: pipeline.enhance_anew(small), 3)
    assert ratio < 1.15


# The auto-encoder has eight channels: TAESD's own takes hours for 100 megapixels on two cores. Its
# tiles take 0.4 GB more, whatever the image.
@pytest.mark.parametrize(("height", "width", "gigabytes"), [(2309, 3464, 1.5), (8165, 12247, 3)])
def test_an_image_takes_memory_for_its_tiles_and_its_encoder(height, width, gigabytes):
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            str(height),
            str(width),
            "512",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    before, most = map(int, done.stdout.split())
    over = (most - before) / 1e9
    print(f"\n{height}×{width}: {over:.2f} GB over the {before / 1e9:.2f} GB before it")
    assert over < gigabytes
