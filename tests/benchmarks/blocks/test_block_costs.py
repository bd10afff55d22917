"""What a block costs beside its shards: a process, its imports, a flow, and the networks.

`pytest tests/benchmarks/blocks -m benchmark_suite -s -o addopts=--import-mode=importlib` prints
the table of infra/docs/service.md. Processor time is counted, not waiting: others may be at work
on the machine, and a block waits for the same things that its shards wait for.
"""

import json
import os
import resource
import subprocess
import sys

import pytest
from workspaces import plain_pipeline as pipeline

from flows.service.server import prefect_server
from tasks.config import Config, Run
from tasks.fit.operators import fitted
from tasks.io.workspace import Workspace

IMAGES = 12
"""Of a shard; the numbers are given for 256."""

SHARE = 0.02
"""Of a block's time that it may take beside its shards."""

BLOCK = """
import json, sys
from flows.enhance_block import enhance_block
from tasks.config import Config
from tasks.fit.operators import OperatorRef

given = json.loads(sys.argv[1])
enhance_block(
    Config.model_validate(given["config"]),
    OperatorRef.model_validate(given["operator"]),
    tuple(given["shards"]),
)
"""


def configuration(folder, data, codec, **evaluate):
    """Sixty crops of photographs in shards of twelve, enlarged by two."""
    tree = {
        "name": "blocks",
        "workspace": str(folder),
        "corpora": {
            "reference": {
                "path": str(data / "images" / "imagenet_samples"),
                "limit": 60,
                "crop": 256,
            }
        },
        "degrade": [{"kind": "downscale", "factor": 2}],
        "restore": {"kind": "bicubic"},
        "codec": codec,
        "patches": {"size": 1},
        "fit": {"images": 10},
        "enhance": {"alphas": [0.0, 0.5]},
        "evaluate": {"curve": {"networks": False}, "controls": False, **evaluate},
        "shards": {"images": IMAGES},
        "compute": {"device": "cpu"},
    }
    return Config.model_validate(tree)


def processor_seconds(config, operator, shards):
    """Of a process that does a block of shards."""
    given = {"config": config.model_dump(mode="json"), "operator": operator, "shards": shards}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"},
    )
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


CASES = {
    "pixel codec, no networks": ({"kind": "pixel", "factor": 4}, {"lpips": None, "features": None}),
    "TAESD3": ("taesd3", {"lpips": None, "features": None}),
    "TAESD3, LPIPS and features of SqueezeNet": (
        "taesd3",
        {"lpips": "squeeze", "features": "squeezenet"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_block_may_be_as_small_as_the_page_says(tmp_path, test_data, monkeypatch, case):
    codec, evaluate = CASES[case]
    if codec == "taesd3":
        codec = {"kind": "autoencoder-tiny", "weights": str(test_data / "weights" / "taesd3")}
    monkeypatch.setenv("TORCH_HOME", str(test_data / "weights" / "torch_home"))
    config = configuration(tmp_path / "workspace", test_data, codec, **evaluate)
    workspace = Workspace(config.workspace)
    pipeline.shard(config, workspace)
    pipeline.fit(config, workspace)
    pipeline.do(Run(config, workspace), lambda step: step.name.startswith("match"))
    operator = fitted(Run(config, workspace)).operator.model_dump()
    names = [f"shard-{number:06d}" for number in range(5)]
    with prefect_server() as address:
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
        one = processor_seconds(config, operator, names[:1])
        nothing = processor_seconds(config, operator, names[:1])  # which is done by now
        four = processor_seconds(config, operator, names[1:])
    shard, beside = (four - one) / 3, one - (four - one) / 3
    full = shard * 256 / IMAGES
    least = beside / full * (1 - SHARE) / SHARE
    print(
        f"\n| {case} | {nothing:.1f} s | {beside - nothing:.1f} s | {full:.0f} s "
        f"| {beside / (beside + full):.1%} | {max(1, -(-least // 1)):.0f} |"
    )
    assert nothing > 0
    if case == "pixel codec, no networks":
        assert least <= config.blocks.shards  # 16 are enough, as the page says
