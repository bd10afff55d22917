"""Two runs and compactions at once, on an S3 that fails, leave what quiet ones leave."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from servers.s3_server import fresh_bucket, sometimes

ROUNDS = int(os.environ.get("DOTPIPE_TEST_ROUNDS", "1"))
SEED = int(os.environ.get("DOTPIPE_TEST_SEED", "0"))
FAULTS = 0.1
"""Share of all requests that fail, in every way that the proxy knows."""

WORKSPACE = "runs/workspace"
SECTIONS = {
    "shards": {"images": 4},
    "restore": {"kind": "gaussian-blur", "size": 3, "sigma": 0.8},
}
NIGHTS = (range(5), range(5, 7))
"""After these, shards have 4, 1 and 2 images; a compaction makes one of the last two."""


@pytest.fixture
def together(tmp_path, proxy):
    """Starts runs and compactions at these moments; how each ended."""
    script = Path(__file__).parents[2] / "support" / "workspaces" / "together.py"
    support = str(script.parents[1])
    paths = os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        (tmp_path / "errors.txt").open("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, script],
            **pipes,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": paths},
            text=True,
        ) as process,
    ):

        def start(project, *pairs):
            process.stdin.write(json.dumps([str(project.file), pairs]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            complaint = (tmp_path / "errors.txt").read_text("utf-8")[-6000:]
            assert line, complaint
            ends = json.loads(line)
            assert "failed" not in ends, complaint
            assert {"done", "WorkspaceBusy", "StepMissing"} >= {*ends}, ends
            return ends

        yield start
        process.stdin.close()


@pytest.fixture
def new(tmp_path, project, draw):
    """Makes a project whose workspace is in a bucket, without images; and brings some."""

    def make(bucket, name):
        fresh = type(project)(tmp_path / name)
        fresh.folder.mkdir()
        shutil.copytree(project.folder / "natural", fresh.folder / "natural")
        (fresh.folder / "reference").mkdir()
        fresh.configure(workspace=f"{bucket.url}/{WORKSPACE}", **SECTIONS)
        return fresh

    return make


def bring(project, draw, numbers):
    for number in numbers:
        draw(project.folder / "reference" / f"{number}.png", number)


def lasting(project, bucket):
    """What lies in the bucket that must not differ."""
    project.hold(bucket.files(WORKSPACE))
    project.vouch()
    told = ("failures/", "claims/runs/")
    assert not [name for name in project.files() if name.endswith("compacting.json")]
    left = {name: data for name, data in project.lasting().items() if not name.startswith(told)}
    shutil.rmtree(project.workspace)
    return left


@pytest.mark.slow
def test_two_runs_and_compactions_at_once_leave_what_quiet_ones_leave(
    together, new, draw, proxy, s3_endpoint, capsys
):
    with fresh_bucket(s3_endpoint) as quiet:
        project = new(quiet, "quiet")
        for night in NIGHTS:
            bring(project, draw, night)
            began = time.monotonic()
            assert together(project, (0, "run")) == ["done"]
            longest_s = time.monotonic() - began
        assert together(project, (0, "compact")) == ["done"]
        undisturbed = lasting(project, quiet)
    ended = Counter()
    for number in range(ROUNDS):
        rng = random.Random(f"{SEED}-{number}")
        with fresh_bucket(s3_endpoint) as bucket:
            project = new(bucket, f"round-{number}")
            proxy.choose = sometimes(FAULTS, seed=rng.randrange(1 << 30))
            for night in NIGHTS:
                bring(project, draw, night)
                acts = ["run", "run", *["compact"] * 6]
                moments = [rng.uniform(0, 2 * longest_s) for _ in acts]
                pairs = [*zip(moments, acts, strict=True)]
                ends = together(project, *pairs)
                assert ends[:2] == ["done", "done"]
                ended.update(ends[2:])
            while together(project, (0, "compact")) != ["done"]:
                assert together(project, (0, "run")) == ["done"]
            proxy.choose = lambda _: None
            assert lasting(project, bucket) == undisturbed, f"round {number} of seed {SEED}"
            assert bucket.uploads() == []
    with capsys.disabled():
        told = f"\n{ROUNDS} rounds, seed {SEED}: {dict(proxy.faults)}; compactions: {dict(ended)}\n"
        sys.stdout.write(told)
