"""What a process of a Ray cluster makes of what Ray gave to its task; Ray is pretended."""

from types import SimpleNamespace

import pytest
import ray

from flows.runners import ray_worker
from flows.runners.ray_worker import environment, run_task
from tasks.io.errors import ConfigurationError
from tasks.io.machine.resources import Allotment, allotment
from tasks.jobs import Job


@pytest.fixture
def given(monkeypatch):
    """Pretends that Ray gave something to the task; tells what the task saw of it."""
    seen = []

    def pretend(devices=(), visible=None, **resources):
        context = SimpleNamespace(get_assigned_resources=lambda: resources)
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        monkeypatch.setattr(ray, "get_gpu_ids", lambda: list(devices))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

        def run(*_, **__):
            seen.append(allotment())
            return SimpleNamespace(result=lambda raise_on_failure: None)

        monkeypatch.setattr(ray_worker.RayTaskRunner, "_run_prefect_task", run)
        run_task(parameters={})
        return seen[-1]

    return pretend


def test_a_task_is_told_its_share_for_as_long_as_it_runs(given):
    assert given([3], CPU=8.0, GPU=1.0) == Allotment(cores=8, devices=(3,))
    assert allotment() is None


@pytest.mark.parametrize(("cpus", "cores"), [(0.25, 1), (1.0, 1), (6.5, 6)])
def test_a_task_has_at_least_one_core(given, cpus, cores):
    assert given(CPU=cpus) == Allotment(cores=cores, devices=())
    assert environment(cpus)["OMP_NUM_THREADS"] == str(cores)


@pytest.mark.parametrize(
    ("devices", "visible", "numbers"),
    [
        ([5], None, (5,)),
        ([5], "", (5,)),
        (["6"], "4,5,6,7", (2,)),
        (["GPU-b"], "GPU-a,GPU-b", (1,)),
        (["3"], "3", (0,)),
    ],
)
def test_a_device_has_the_number_that_torch_counts_it_by(given, devices, visible, numbers):
    assert given(devices, visible, CPU=1.0).devices == numbers


def test_ray_leaves_the_devices_visible_to_its_processes():
    # Named in Ray's source; that it is heeded there is seen by the tests on a cluster.
    from ray._private.accelerators.nvidia_gpu import NOSET_CUDA_VISIBLE_DEVICES_ENV_VAR

    assert environment(1.0)[NOSET_CUDA_VISIBLE_DEVICES_ENV_VAR] == "1"


def test_a_folder_that_is_not_there_is_told_before_anything_is_written(given, tmp_path):
    given(CPU=1.0)
    job = Job(workspace=str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigurationError, match="a folder that all machines of the Ray cluster"):
        run_task(parameters={"job": job})
    assert not (tmp_path / "elsewhere").exists()
    run_task(parameters={"job": Job(workspace=str(tmp_path))})
