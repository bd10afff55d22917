"""The numbers of a million images: features added up leaf by leaf, and fidelity of the sums.

`pytest tests/benchmarks/scale -m benchmark_suite -s -o addopts=--import-mode=importlib` prints the
table of infra/docs/limits.md. It writes twelve gigabytes below pytest's temporary folder.
"""

import json
import subprocess
import sys
import time

import pytest
from costs.made_up_images import make_up, write_files

from tasks.config import Config

IMAGES, SHARD = 1_000_000, 1000
SIGNALS = 4

PHASE = """
import json, sys, time
from costs.process_memory import used
from tasks.config import Config, Run
from tasks.evaluate.fidelity import plan_fidelity, write_fidelity
from tasks.evaluate.sums import leaves
from tasks.evaluate.sums.add import write_sums
from tasks.evaluate.sums.plan import plan_sums
from tasks.fit.operators import fitted
from tasks.upkeep.status import status_of_steps

config, phase, most = Config.model_validate_json(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if phase == "one by one":
    leaves.IMAGES = 1 << 60
    # Another sample, so that what it leaves does not count as done for the others.
    evaluate = config.evaluate.model_copy(update={"sample": config.evaluate.sample - 1})
    config = config.model_copy(update={"evaluate": evaluate})
start = time.process_time()
if phase == "status":
    jobs = list(status_of_steps(config))
elif phase == "sums":
    units = plan_sums(Run.of(config), lambda: fitted(Run.of(config)))
    jobs = [unit.job for unit in units if unit.job][:most]
    for job in jobs:
        write_sums(job)
else:
    jobs = [unit.job for unit in plan_fidelity(fitted(Run.of(config))) if unit.job][:most]
    for job in jobs:
        write_fidelity(job)
spent = time.process_time() - start
print(json.dumps({"jobs": len(jobs), "processor_s": spent, "peak_bytes": used("VmHWM")}))
"""


@pytest.fixture(scope="module")
def million(tmp_path_factory, squeezenet_weights):
    """A million images and their references, all made up but what is measured here."""
    folder = tmp_path_factory.mktemp("million")
    config = Config.model_validate(
        {
            "name": "million",
            "workspace": str(folder / "workspace"),
            "corpora": {role: {"path": str(folder / role)} for role in ("restored", "reference")},
            "codec": {"kind": "pixel", "factor": 2},
            "patches": {"size": 1},
            "fit": {"images": 1000},
            "enhance": {"alphas": [0]},
            "evaluate": {"lpips": None, "niqe": False, "features": "squeezenet", "curve": None},
            "shards": {"images": SHARD},
        }
    )
    start = time.perf_counter()
    for role in ("restored", "reference"):
        write_files(folder / role, 0, IMAGES)
    make_up(config)
    print(f"\nmade up in {time.perf_counter() - start:.0f} s")
    return folder, config


def measure(config, phase, most=1 << 30):
    """What a process of its own takes for a phase, of ``most`` jobs at most."""
    command = [sys.executable, "-c", PHASE, config.model_dump_json(), phase, str(most)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(told.splitlines()[-1])
    print(
        f"{phase}: {found['jobs']} jobs, {found['processor_s']:.1f} s of a processor, "
        f"{found['peak_bytes'] >> 20} MiB"
    )
    return found


def test_a_shard_more_costs_a_leaf_and_fidelity_reads_no_features(million):
    folder, config = million
    one_by_one = measure(config, "one by one", 1)
    sums = measure(config, "sums")
    fidelity = measure(config, "fidelity")
    measure(config, "status")
    for role in ("restored", "reference"):
        write_files(folder / role, IMAGES, IMAGES + SHARD)
    make_up(config)
    more = measure(config, "sums")
    again = measure(config, "fidelity")
    assert sums["jobs"] > 12 * (SIGNALS + 1)
    assert fidelity["jobs"] == again["jobs"] == SIGNALS
    assert fidelity["processor_s"] / SIGNALS < one_by_one["processor_s"] / 2
    assert more["jobs"] == SIGNALS + 1
    assert more["processor_s"] < sums["processor_s"] / 5
    assert max(each["peak_bytes"] for each in (sums, fidelity)) < 1.5 * (1 << 30)
