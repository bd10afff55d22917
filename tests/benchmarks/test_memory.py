"""Peak memory must not grow with the data set."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.config.compute import Shards

MEASURE = """
import resource, sys
from workspaces import plain_pipeline as pipeline
from tasks.config.config import Config
pipeline.run(Config.model_validate_json(sys.stdin.read()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(config) -> int:
    """Peak resident memory of a process that does all steps of a configuration."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=config.model_dump_json(),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    return int(done.stdout.split()[-1])


def test_peak_memory_does_not_grow_with_the_images(make_config, photographs):
    shards = Shards(images=100)
    few, many = (
        peak_kib(make_config(photographs(count, 128), shards=shards)) for count in (200, 2000)
    )
    print(f"\npeak memory: {few / 1024:.0f} MiB for 200 images, {many / 1024:.0f} MiB for 2000")
    assert many < 1.1 * few
