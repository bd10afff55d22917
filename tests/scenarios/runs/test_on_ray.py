"""Runs whose tasks are on a Ray cluster of two nodes, and what happens when it loses some."""

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from diffusers import AutoencoderTiny
from ray_tasks import Unit, die, fail, in_a_flow, linger, load
from recording_screen import RecordingScreen
from servers.child_processes import begin, end_of_log
from servers.ray_nodes import ON_LOOPBACK, ray_nodes

from flows.backfill import backfill
from flows.runners import ray_lanes
from flows.runners.choice import computing
from flows.runners.ray_cluster import joined
from flows.steps.reports import StepRun
from flows.steps.screen import screen
from flows.steps.steps import run_step
from tasks.config.compute import Compute
from tasks.io.errors import ConfigurationError, ShardsFailed
from tasks.io.networks.codecs import Autoencoder
from tasks.jobs import Planned
from tasks.pipeline import is_finished

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.usefixtures("server")]

RESOURCES = {"num_cpus": 1}, {"num_cpus": 1, "num_gpus": 2}
"""A node with a processor, and one with another and two GPUs, which are pretended."""


@pytest.fixture
def nodes(tmp_path_factory):
    with ray_nodes(tmp_path_factory.mktemp("ray"), *RESOURCES) as started:
        yield started


@pytest.fixture(scope="module")
def alone(tmp_path_factory, new_project, shell, prefect_home, server):
    """What a run leaves whose torch has one thread, as Ray's processes have it for a processor."""
    project = new_project(tmp_path_factory.mktemp("alone") / "project")
    dotpipe = Path(sys.executable).with_name("dotpipe")
    one_thread = shell(prefect_home, server) | {"OMP_NUM_THREADS": "1"}
    subprocess.run([dotpipe, "run", project.file], env=one_thread, check=True, capture_output=True)
    return project.lasting()


class Reaper(threading.Thread):
    """Kills a node as soon as one of its processes is at work on enhancing a shard."""

    def __init__(self, nodes, node, workspace):
        super().__init__(daemon=True)
        self.nodes, self.node, self.claims = nodes, node, workspace / "claims" / "enhanced"
        self.interrupted = None

    def run(self):
        while self.interrupted is None:
            for claim in self.claims.rglob("*.json"):
                with suppress(OSError, ValueError, psutil.NoSuchProcess):
                    owner = psutil.Process(json.loads(claim.read_bytes())["process"])
                    if self.nodes.raylets[self.node] in owner.parents():
                        self.interrupted = claim.stem
                        self.nodes.kill(self.node)
                        return
            time.sleep(0.002)


def test_a_run_that_loses_a_node_ends_with_the_bytes_of_one_in_threads(project, nodes, alone):
    runner = {"kind": "ray", "address": nodes.client}
    config = project.configure(compute={"runner": runner})
    reaper = Reaper(nodes, 1, project.workspace)
    reaper.start()
    backfill(config)
    assert reaper.interrupted is not None
    assert [one.status() == psutil.STATUS_ZOMBIE for one in nodes.raylets] == [False, True]
    assert project.lasting() == alone
    project.vouch()
    assert is_finished(project.configure())  # in threads there is nothing left to do


@pytest.fixture(scope="module")
def lasting_nodes(tmp_path_factory):
    """A cluster for tests that lose no node."""
    with ray_nodes(tmp_path_factory.mktemp("ray"), *RESOURCES) as started:
        yield started


@pytest.fixture
def units(tmp_path):
    """Makes units of work, which tell what they see in a folder of the workspace."""

    def made(count, **known):
        return (
            Planned(f"unit-{number}", 1, Unit(workspace=str(tmp_path), number=number, **known))
            for number in range(count)
        )

    return made


@pytest.fixture
def told(tmp_path):
    """What a unit has told so far, line by line."""

    def lines(number):
        file = tmp_path / str(number)
        return file.read_text().splitlines() if file.exists() else []

    return lines


@pytest.fixture
def on_ray(lasting_nodes):
    """Runs a step on the cluster, in a flow of its own."""

    def run(work, planned, **ray):
        runner = {"kind": "ray", "address": lasting_nodes.client, **ray}
        lanes = computing(Compute.model_validate({"runner": runner}))
        step = StepRun("try", "tried", 0.05)
        return in_a_flow(lambda: run_step(step, work, planned, lanes))

    return run


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """The weights of a small auto-encoder."""
    folder = str(tmp_path_factory.mktemp("codec"))
    layers = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    module = AutoencoderTiny(**layers, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))
    module.save_pretrained(folder)
    return Autoencoder(kind="autoencoder-tiny", weights=folder)


def test_a_process_loads_a_network_once_and_each_task_knows_its_gpu(on_ray, units, told, codec):
    assert on_ray(load, units(12, codec=codec, together=2)).made == 12
    seen = [told(number)[0].split() for number in range(12)]
    networks = {(process, network) for process, network, *_ in seen}
    processes = {process for process, *_ in seen}
    assert 2 <= len(networks) == len(processes) < 12
    assert {gpu for _, _, _, gpu, _ in seen} == {"0", "1"}
    assert {(device, cores) for _, _, device, _, cores in seen} == {("cpu", "1")}


def test_fractions_of_gpus_are_shared(on_ray, units, told, codec):
    assert on_ray(load, units(4, codec=codec, together=4), gpus=0.5, cpus=0.25).made == 4
    seen = [told(number)[0].split() for number in range(4)]
    assert len({process for process, *_ in seen}) == 4
    assert sorted(gpu for _, _, _, gpu, _ in seen) == ["0", "0", "1", "1"]


@contextmanager
def counted():
    view = RecordingScreen()
    token = screen.set(view)
    try:
        yield view
    finally:
        screen.reset(token)


def states(server, number):
    """The states, in their order, of the newest task for a unit, after it has ended."""
    asked = {"task_runs": {"name": {"any_": [f"die-{number}"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    deadline = time.monotonic() + 60
    while True:
        run = httpx.post(f"{server}/api/task_runs/filter", json=asked).raise_for_status().json()[0]
        if run["state"]["type"] in ("COMPLETED", "CRASHED"):
            break
        assert time.monotonic() < deadline, run["state"]
        time.sleep(0.2)
    told = httpx.get(f"{server}/api/task_run_states/", params={"task_run_id": run["id"]})
    found = sorted(told.raise_for_status().json(), key=lambda state: state["timestamp"])
    return [(state["type"], state["message"]) for state in found]


def test_a_process_that_dies_over_a_unit_is_replaced_and_after_so_many_the_unit_has_failed(
    on_ray, units, told, server, monkeypatch
):
    monkeypatch.setattr(ray_lanes, "_RETRIES", 1)
    fails = pytest.raises(ShardsFailed, match=r"1 of 3 .*unit-0, with WorkerCrashedError")
    with fails, counted() as view:
        on_ray(die, units(3), gpus=0)
    assert view.images == 2
    assert [len(set(told(number))) for number in range(3)] == [2, 2, 1]  # processes
    always, once, never = (states(server, number) for number in range(3))
    assert [kind for kind, _ in never] == ["PENDING", "RUNNING", "COMPLETED"]
    assert [kind for kind, _ in once].count("RUNNING") == 2
    assert once[-1][0] == "COMPLETED"
    assert [kind for kind, _ in always].count("RUNNING") == 2
    assert always[-1][0] == "CRASHED"
    assert always[-1][1].startswith("WorkerCrashedError: ")


def test_an_error_in_another_process_names_the_line_that_raised_it(on_ray, units):
    line = fail.fn.__code__.co_firstlineno + 3
    with pytest.raises(ShardsFailed, match=rf"with RuntimeError at .*ray_tasks.py:{line}: unit 0"):
        on_ray(fail, units(1), gpus=0)


def test_a_workspace_that_the_cluster_does_not_have_is_a_mistake_that_stops_the_step(
    on_ray, units, tmp_path
):
    units = [
        each._replace(job=each.job.model_copy(update={"workspace": f"{tmp_path}/x"}))
        for each in units(3)
    ]
    with pytest.raises(
        ConfigurationError, match=r"must be a bucket, or a folder that all machines"
    ):
        on_ray(load, units, gpus=0)


def test_a_cluster_with_other_kernels_is_told_before_anything_is_computed(
    on_ray, units, told, monkeypatch
):
    monkeypatch.setattr(ray_lanes, "VERSIONS", {**ray_lanes.VERSIONS, "codec": 99})
    with pytest.raises(
        ConfigurationError, match="got one with other numbers of kind codec; install it there"
    ):
        on_ray(load, units(1), gpus=0)
    assert told(0) == []


def test_a_step_that_is_stopped_ends_its_tasks_on_the_cluster(on_ray, lasting_nodes, units, told):
    def plan():
        yield from units(2)
        deadline = time.monotonic() + 60
        while not (told(0) and told(1)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        raise KeyboardInterrupt

    with joined(lasting_nodes.client):  # or leaving the cluster would end them too
        with pytest.raises(KeyboardInterrupt):
            on_ray(linger, plan(), gpus=0)
        assert told(0) == told(1) == ["begun", "ended"]


def test_a_run_that_is_told_to_end_leaves_nothing_at_work_on_the_cluster(
    project, lasting_nodes, server, shell, prefect_home, tmp_path
):
    runner = {"kind": "ray", "address": lasting_nodes.address}  # not by way of Ray's client
    project.configure(shards={"images": 1}, compute={"runner": runner})
    command = [str(Path(sys.executable).parent / "dotpipe"), "run", str(project.file)]
    claims, log = project.workspace / "claims", tmp_path / "log"
    process = begin(command, log=log, env=shell(prefect_home, server) | ON_LOOPBACK)
    while not list(claims.rglob("enhanced/**/*.json")):
        assert process.poll() is None, end_of_log(log)
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not list(claims.rglob("*.json"))
    words = end_of_log(log)
    assert "stopped; what is done is kept" in words
    assert "ray" not in words.lower()
