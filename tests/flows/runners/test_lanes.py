"""Where tasks run, and how many at once: threads here, and what a Ray cluster has room for."""

import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import ray
import torch
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.runners import choice, ray_cluster, ray_lanes
from flows.runners.choice import computing, connected, copying, gathering, training
from flows.runners.lanes import Threads
from flows.runners.ray_cluster import Ask, Machine, fair_cpus, joined
from flows.runners.ray_worker import run_task
from tasks.config import Config
from tasks.config.compute import Compute
from tasks.io.errors import ConfigurationError

GIB = 2.0**30


def compute(**section):
    return Compute.model_validate(section)


def machine(cpus, gpus=0.0, memory=64 * GIB, host="node"):
    return Machine(host, float(cpus), float(gpus), memory)


@pytest.fixture
def cluster(monkeypatch):
    """Makes the cluster consist of some machines; no process is started."""

    def made(*of):
        for place in (ray_cluster, ray_lanes):
            monkeypatch.setattr(place, "machines", lambda: list(of))
        monkeypatch.setattr(ray_lanes, "recent_machines", lambda: list(of))

    return made


@pytest.fixture
def eight_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_network_has_a_lane_for_every_gpu(eight_gpus):
    assert computing(compute()) == Threads(8)
    assert computing(compute(device="cuda")) == Threads(8)


@pytest.mark.parametrize("device", ["cpu", "cuda:3"])
def test_a_network_on_a_named_device_has_one_lane(eight_gpus, device):
    assert computing(compute(device=device)) == Threads(1)


def test_a_network_has_one_lane_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert computing(compute()) == Threads(1)


def test_copying_has_a_lane_for_every_core(monkeypatch):
    monkeypatch.setattr(choice, "cores", lambda: 12)
    assert copying(compute()) == Threads(12)


def test_statistics_are_gathered_one_after_the_other(eight_gpus):
    assert gathering(compute(shards_at_once=5)) == Threads(1)


def test_segments_of_a_training_come_one_after_the_other(eight_gpus):
    assert training(compute(shards_at_once=5)) == Threads(1)
    assert training(compute(shards_at_once=5, runner="ray")).at_once == 1


def test_shards_at_once_is_what_the_configuration_says(eight_gpus):
    assert copying(compute(shards_at_once=3)) == computing(compute(shards_at_once=3)) == Threads(3)
    assert computing(compute(shards_at_once=3, runner="ray")).at_once == 3


def test_tasks_in_threads_report_progress_and_those_elsewhere_do_not():
    assert computing(compute()).reports_progress
    assert not computing(compute(runner="ray")).reports_progress


@pytest.mark.parametrize(
    ("ask", "tasks"),
    [
        pytest.param(Ask(cpus=1), 64, id="a processor each"),
        pytest.param(Ask(cpus=0.5), 128, id="half a processor each"),
        pytest.param(Ask(cpus=1, gpus=1), 8, id="a GPU each"),
        pytest.param(Ask(cpus=1, gpus=0.25), 32, id="four to a GPU"),
        pytest.param(Ask(cpus=1, gpus=0.4), 16, id="two to a GPU, a fifth of it idle"),
        pytest.param(Ask(cpus=1, gpus=0.1), 64, id="ten to a GPU, but too few processors"),
        pytest.param(Ask(cpus=1, gpus=1 / 3), 24, id="three to a GPU"),
        pytest.param(Ask(cpus=1, memory=32 * GIB), 2, id="little memory"),
        pytest.param(Ask(cpus=65), 0, id="more than there is"),
    ],
)
def test_a_machine_runs_as_many_tasks_as_what_they_ask_for_goes_into_it(ask, tasks):
    assert machine(64, 8).fits(ask) == tasks


def test_all_machines_are_busy_and_one_task_more_waits_for_each(cluster):
    cluster(machine(64, 8), machine(64, 4), machine(16))
    assert computing(compute(runner="ray")).at_once == 8 + 4 + 3
    half = {"kind": "ray", "gpus": 0.5}
    assert computing(compute(runner=half)).at_once == 16 + 8 + 3
    assert copying(compute(runner="ray")).at_once == 64 + 64 + 16 + 3


@pytest.mark.parametrize("section", [{"runner": {"kind": "ray", "gpus": 0}}, {"device": "cpu"}])
def test_a_task_that_wants_no_gpu_asks_for_none(cluster, section):
    cluster(machine(6, 8))
    assert computing(compute(**{"runner": "ray", **section})).at_once == 6 + 1


@pytest.mark.parametrize(
    ("gpus", "among", "cpus"),
    [
        (1.0, [machine(64, 8)], 8),
        (0.5, [machine(64, 8)], 4),
        (1.0, [machine(64, 8), machine(24, 4), machine(96)], 6),
        (1.0, [machine(30, 8)], 3),
        (1.0, [machine(4, 8)], 0.5),
        (1.0, [machine(96)], 1),
        (0.0, [machine(64, 8)], 1),
    ],
)
def test_a_task_has_its_share_of_the_processors_by_its_share_of_the_gpus(gpus, among, cpus):
    assert fair_cpus(gpus, among) == cpus
    slots = [one.fits(Ask(cpus=fair_cpus(gpus, among), gpus=gpus)) for one in among if one.gpus]
    assert not gpus or slots == [one.fits(Ask(gpus=gpus)) for one in among if one.gpus]


def test_a_cluster_without_room_is_told_with_what_it_has(cluster, monkeypatch):
    cluster(machine(16), machine(8))

    @contextmanager
    def already(_address):
        yield

    monkeypatch.setattr(ray_lanes, "joined", already)
    told = r"must have a machine with 1 GPUs and 1 processors.*cpus=16.*compute.runner.gpus \(0 is"
    with (
        pytest.raises(ConfigurationError, match=told),
        computing(compute(runner="ray")).opened(),
    ):
        pytest.fail("opened")


def test_ray_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "prefect_ray" else name)
    told = r"needs prefect-ray, which is not installed; run pip install 'dot-pipeline\[ray\]'"
    with pytest.raises(ConfigurationError, match=told):
        computing(compute(runner="ray"))


def test_what_is_replaced_in_prefect_ray_is_what_it_sends_to_the_cluster():
    assert ray_lanes._REPLACED in ray_lanes.RayTaskRunner.submit.__code__.co_names
    runner = ray_lanes.RayTaskRunner()
    ray_lanes._run_tasks_our_way(runner)
    assert getattr(runner, ray_lanes._REPLACED) is run_task


def test_a_prefect_ray_without_what_is_replaced_is_told_with_the_command(monkeypatch):
    monkeypatch.delattr(ray_lanes.RayTaskRunner, ray_lanes._REPLACED)
    told = (
        r"needs a prefect-ray whose RayTaskRunner has the method _run_prefect_task, got version "
        r"[\d.]+ without it; run pip install 'dot-pipeline\[ray\]'"
    )
    with pytest.raises(ConfigurationError, match=told):
        ray_lanes._run_tasks_our_way(ray_lanes.RayTaskRunner())


@pytest.mark.parametrize("form", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_a_cluster_that_does_not_answer_is_told_at_once(form, closed_port):
    address = form.format(closed_port)
    with (
        pytest.raises(ConfigurationError, match=f"{address} must answer, but does not"),
        joined(address),
    ):
        pytest.fail("joined")


def test_the_address_in_the_environment_counts_where_none_is_given(closed_port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{closed_port}")
    with pytest.raises(ConfigurationError, match="must answer"), joined(None):
        pytest.fail("joined")


@pytest.fixture
def joining(monkeypatch):
    """Joins a cluster of these hosts without one; tells how often it was joined and left."""
    told = []

    def joins(*hosts):
        monkeypatch.setattr(ray_cluster, "_require_answer", lambda _: None)
        monkeypatch.setattr(ray_cluster, "machines", lambda: [machine(1, host=h) for h in hosts])
        monkeypatch.setattr(ray, "init", lambda *_, **__: told.append("joined"))
        monkeypatch.setattr(ray, "shutdown", lambda: told.append("left"))
        monkeypatch.setattr(
            ray, "is_initialized", lambda: told.count("joined") > told.count("left")
        )
        return told

    return joins


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://0.0.0.0:4200/api"]
)
def test_a_server_on_loopback_is_told_before_the_tasks_of_other_machines_miss_it(joining, server):
    told = joining(socket.gethostname(), "another")
    sentence = (
        f"PREFECT_API_URL must be .* that the machines .* reach, got {server}; start a server"
    )
    with (
        temporary_settings({PREFECT_API_URL: server}),
        pytest.raises(ConfigurationError, match=sentence),
        joined("ray://head:10001"),
    ):
        pytest.fail("joined")
    assert told == ["joined", "left"]


@pytest.mark.parametrize(
    ("server", "hosts"),
    [
        ("http://127.0.0.1:4200/api", [socket.gethostname()]),
        ("http://prefect.example:4200/api", ["one", "another"]),
        ("http://192.0.2.7:4200/api", ["one", "another"]),
    ],
)
def test_a_server_that_the_machines_reach_is_none_of_our_business(joining, server, hosts):
    told = joining(*hosts)
    with temporary_settings({PREFECT_API_URL: server}), joined("ray://head:10001"):
        assert told == ["joined"]
    assert told == ["joined", "left"]


def test_the_steps_of_a_flow_share_one_connection(joining, tmp_path):
    told = joining("one")
    folder = {"path": str(tmp_path)}
    config = Config.model_validate(
        {
            "name": "tried",
            "workspace": str(tmp_path),
            "corpora": {"restored": folder, "natural": folder},
            "compute": {"runner": {"kind": "ray", "address": "ray://head:10001"}},
        }
    )

    @connected
    def flow(config):
        for _ in range(3):
            with joined(config.compute.runner.address):
                told.append("step")

    with temporary_settings({PREFECT_API_URL: "http://prefect.example/api"}):
        flow(config)
    assert told == ["joined", "step", "step", "step", "left"]


def test_a_join_that_fails_for_once_is_tried_again(joining, monkeypatch):
    told = joining("one")
    failures = iter([ConnectionAbortedError("starting Ray client server failed")])

    def init(*_, **__):
        told.append("joined")
        for failure in failures:
            raise failure

    monkeypatch.setattr(ray, "init", init)
    with (
        temporary_settings({PREFECT_API_URL: "http://prefect.example/api"}),
        joined("ray://head:10001"),
    ):
        assert told == ["joined", "left", "joined"]


def test_a_cluster_that_refuses_is_told_with_its_words(joining, monkeypatch):
    joining("one")

    def init(*_, **__):
        raise RuntimeError("Version mismatch: the cluster was started with Ray 1")

    monkeypatch.setattr(ray, "init", init)
    told = "ray://head:10001 must take this process, but does not: Version mismatch.*same versions"
    with pytest.raises(ConfigurationError, match=told), joined("ray://head:10001"):
        pytest.fail("joined")


def test_nothing_of_ray_is_imported_where_nobody_asks_for_it():
    line = "import flows.backfill, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
