"""Which device a task gets, of those that are there; all of them are pretended."""

import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import torch

from tasks.io.errors import ConfigurationError
from tasks.io.machine.devices import computes_bfloat16, count_devices, devices, leased
from tasks.io.machine.resources import Allotment, allotted


@pytest.fixture
def gpus(monkeypatch):
    """Makes torch see so many CUDA devices."""

    def seen(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return seen


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_leases_go_around_all_devices_before_one_has_two(gpus, name):
    gpus(3)
    with ExitStack() as stack:
        held = [stack.enter_context(leased(name)) for _ in range(7)]
    assert held == ["cuda:0", "cuda:1", "cuda:2"] * 2 + ["cuda:0"]


def test_a_device_that_was_given_back_is_the_next_one(gpus):
    gpus(3)
    with leased("auto"), leased("auto") as second, ExitStack() as stack:
        stack.enter_context(leased("auto"))
        with suppress(ZeroDivisionError), leased("auto") as again:
            assert again == "cuda:0"
            raise ZeroDivisionError
        assert second == "cuda:1"
        assert stack.enter_context(leased("auto")) == "cuda:0"
        assert stack.enter_context(leased("auto")) == "cuda:1"


def test_each_of_many_threads_has_a_device_of_its_own(gpus):
    gpus(8)
    together, held = threading.Barrier(8, timeout=10), []

    def work():
        together.wait()
        with leased("auto") as device:
            held.append(device)
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == [f"cuda:{number}" for number in range(8)]


@pytest.mark.parametrize("name", ["cuda:1", "cpu"])
def test_a_device_with_a_name_of_its_own_is_that_one_for_everybody(gpus, name):
    gpus(2)
    with leased(name) as first, leased(name) as second:
        assert (first, second) == (name, name)


def test_who_asks_for_a_device_by_its_number_counts_for_those_who_do_not(gpus):
    gpus(2)
    with leased("cuda:0"), leased("auto") as free:
        assert free == "cuda:1"


def test_there_is_the_processor_where_there_is_no_other_device(gpus):
    gpus(0)
    assert devices("auto") == ("cpu",)
    with leased("auto") as device:
        assert device == "cpu"
    with (
        pytest.raises(ConfigurationError, match="'cuda' with 0 CUDA devices"),
        leased("cuda"),
    ):
        pytest.fail("leased")


@pytest.mark.parametrize(
    ("name", "there", "count"),
    [("auto", 8, 8), ("cuda", 8, 8), ("cuda:3", 8, 1), ("cpu", 8, 1), ("auto", 0, 1)],
)
def test_there_are_as_many_devices_as_a_name_stands_for_and_never_none(gpus, name, there, count):
    gpus(there)
    assert count_devices(name) == count


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_task_on_a_cluster_has_the_devices_that_it_was_given(gpus, name):
    gpus(8)
    with allotted(Allotment(cores=1, devices=(5,))), leased(name) as device:
        assert device == "cuda:5"
        with leased(name) as again:
            assert again == "cuda:5"


@pytest.mark.parametrize(("name", "device"), [("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_a_named_device_is_that_one_on_a_cluster_too(gpus, name, device):
    gpus(8)
    with allotted(Allotment(cores=1, devices=(5,))):
        assert devices(name) == (device,)


def test_a_task_that_asked_for_no_device_uses_none_unless_it_must(gpus):
    gpus(8)
    with allotted(Allotment(cores=1, devices=())):
        assert devices("auto") == ("cpu",)
        assert devices("cuda") == ("cuda:0",)


def test_a_device_that_a_cluster_promised_must_be_there(gpus):
    gpus(4)
    with (
        allotted(Allotment(cores=1, devices=(5,))),
        pytest.raises(ConfigurationError, match="'cuda:5' with 4 CUDA devices"),
    ):
        devices("auto")


@pytest.mark.parametrize(
    ("known", "has_it"),
    [
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({"architecture": "aarch64", "bf16": False, "neon": True}, False),
        ({}, False),
    ],
)
def test_a_processor_computes_in_bfloat16_by_one_of_its_instruction_sets(
    monkeypatch, known, has_it
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert computes_bfloat16("cpu") is has_it


@pytest.mark.parametrize(
    ("capability", "hip", "has_it"),
    [((7, 5), None, False), ((8, 0), None, True), ((9, 0), None, True), ((0, 0), "6.0", True)],
)
def test_a_gpu_computes_in_bfloat16_since_ampere(monkeypatch, capability, hip, has_it):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert computes_bfloat16("cuda:1") is has_it


def test_the_processor_of_this_machine_is_asked():
    flags = Path("/proc/cpuinfo")
    if not flags.is_file():
        pytest.skip("compares with /proc/cpuinfo, which is not here")
    words = set(flags.read_text("utf-8").split())
    assert computes_bfloat16("cpu") is bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
