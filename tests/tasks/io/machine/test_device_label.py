"""What tables call a device."""

from socket import gethostname
from types import SimpleNamespace

import torch

from tasks.io.machine.devices import device_label


def test_a_processor_is_known_by_its_machine():
    assert device_label("cpu") == f"cpu of {gethostname()}"


def test_two_gpus_of_a_machine_that_are_both_the_first_have_names_of_their_own(monkeypatch):
    numbers = iter(["1a2b3c4d-0000", "5e6f7a8b-0000"])

    def properties(device):
        assert device == "cuda:0"
        return SimpleNamespace(name="NVIDIA H100", uuid=next(numbers))

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert [device_label("cuda:0"), device_label("cuda:0")] == [
        f"NVIDIA H100 1a2b3c4d of {gethostname()}",
        f"NVIDIA H100 5e6f7a8b of {gethostname()}",
    ]
