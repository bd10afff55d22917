"""Peak memory must not grow with the data set."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.config.compute import Shards

MEASURE = """
import sys
from costs.process_memory import used
from workspaces import plain_pipeline as pipeline
from tasks.config.config import Config
pipeline.run(Config.model_validate_json(sys.stdin.read()))
print(used("VmHWM"))
"""


def peak_bytes(config) -> int:
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
        peak_bytes(make_config(photographs(count, 128), shards=shards)) for count in (200, 2000)
    )
    print(f"\npeak memory: {few / 2**20:.0f} MiB for 200 images, {many / 2**20:.0f} MiB for 2000")
    assert many < 1.1 * few
