"""A Ray cluster of several nodes on this machine, on loopback, with all its files in one folder.

with ray_nodes(folder, {"num_cpus": 1}, {"num_cpus": 1, "num_gpus": 2}) as nodes:
    ...             # at nodes.address from this machine, at nodes.client from any
    nodes.kill(1)   # -9: the second one's raylet and all its processes
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from servers.child_processes import begin, end, end_of_log, free_port, kill, with_variable

STARTER = """
import json, signal, sys
from pathlib import Path
from ray.cluster_utils import Cluster

cluster, folder, port = Cluster(), Path(sys.argv[1]), int(sys.argv[3])
shared = dict(include_dashboard=False, object_store_memory=2**27, plasma_directory=str(folder))
for resources in json.loads(sys.argv[2]):
    head = {} if cluster.head_node else {"ray_client_server_port": port}
    cluster.add_node(**shared, **head, **resources, node_ip_address="127.0.0.1")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
nodes = [cluster.head_node, *cluster.worker_nodes]
raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
(folder / "told").write_text(json.dumps({"address": cluster.address, "raylets": raylets}))
(folder / "told").rename(folder / "told.json")
try:
    signal.pause()
finally:
    cluster.shutdown()
"""

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""On Linux its only effect: a node has no other address than 127.0.0.1."""

ENVIRONMENT = ON_LOOPBACK | {
    "GRPC_ENABLE_FORK_SUPPORT": "0",  # its forks crash now and then where Ray starts clients
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
}

_TASKS_OF_TESTS = Path(__file__).parents[1]
"""From where workers import these."""

_START_TIMEOUT_S = 300


@dataclass(frozen=True)
class Nodes:
    """The nodes' raylets, in the order of their start; the first one is the head's."""

    address: str
    """The head's address for processes on its machine."""
    client: str
    """The head's address for processes anywhere, as in ``ray://host:port``."""
    raylets: list[psutil.Process]

    def processes(self, node: int) -> list[psutil.Process]:
        """A node's raylet and all that it has started: workers and their children."""
        return [self.raylets[node], *self.raylets[node].children(recursive=True)]

    def kill(self, node: int) -> None:
        """Kill a node, as a power cut would."""
        for process in self.processes(node):
            process.kill()


@contextmanager
def ray_nodes(
    folder: Path, *resources: dict[str, float], packages: Sequence[Path] = ()
) -> Iterator[Nodes]:
    """A cluster with a node for each of these resources; nothing of it is left afterwards.

    Args:
        folder: for its files.
        resources: of each node, as Ray's ``add_node`` takes them.
        packages: folders of packages that its processes have beside what this one has.
    """
    (folder / "ray").mkdir(parents=True)
    port, log = free_port(), folder / "cluster.log"
    known = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    path = os.pathsep.join([str(_TASKS_OF_TESTS), *map(str, packages), *known])
    environment = os.environ | ENVIRONMENT | {"RAY_TMPDIR": str(folder), "PYTHONPATH": path}
    command = [sys.executable, "-c", STARTER, str(folder), json.dumps(resources), str(port)]
    process = begin(command, log=log, env=environment)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (folder / "told.json").exists():
            assert process.poll() is None, end_of_log(log)
            assert time.monotonic() < deadline, end_of_log(log)
            time.sleep(0.1)
        started = json.loads((folder / "told.json").read_text())
        raylets = [psutil.Process(number) for number in started["raylets"]]
        yield Nodes(started["address"], f"ray://127.0.0.1:{port}", raylets)
    finally:
        end(process)
        kill(with_variable("RAY_TMPDIR", str(folder)))
