"""Networks are loaded once by a process for each device, whoever asks, and how often."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers import AutoencoderTiny

from tasks.io.networks import codecs
from tasks.io.networks.codecs import Autoencoder, load_codec
from tasks.io.networks.model_cache import cached_per_device


@pytest.fixture
def loads():
    return Counter()


@pytest.fixture
def load(loads):
    """A loader that keeps two networks for each device, and takes its time."""

    @cached_per_device(2)
    def slow(device, name):
        loads[device, name] += 1
        time.sleep(0.01)
        return object()

    return slow


def test_threads_that_want_the_same_network_at_once_load_it_once(load, loads):
    together = threading.Barrier(16, timeout=10)

    def ask(number):
        together.wait()
        return load(f"cuda:{number % 2}", "codec")

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert loads == {("cuda:0", "codec"): 1, ("cuda:1", "codec"): 1}
    assert {id(one) for one in found[::2]} == {id(found[0])}
    assert found[0] is not found[1]


def test_nothing_is_loaded_twice_on_eight_devices(load, loads):
    for _ in range(3):
        for name in ("codec", "codec in float32"):
            for number in range(8):
                load(f"cuda:{number}", name)
    assert set(loads.values()) == {1}
    assert len(loads) == 16


def test_a_device_keeps_those_that_were_asked_for_last(load, loads):
    for name in ("a", "b", "a", "c", "a", "b"):
        load("cpu", name)
    assert loads == {("cpu", "a"): 1, ("cpu", "b"): 2, ("cpu", "c"): 1}


def test_what_cannot_be_loaded_is_tried_again():
    tries = []

    @cached_per_device(1)
    def failing(device):
        tries.append(device)
        raise OSError("no such file")

    for _ in range(2):
        with pytest.raises(OSError, match="no such file"):
            failing("cpu")
    assert tries == ["cpu", "cpu"]


def test_what_is_let_go_is_loaded_again(load, loads):
    load("cpu", "codec")
    load.cache_clear()
    load("cpu", "codec")
    assert loads["cpu", "codec"] == 2


@pytest.fixture
def saved(tmp_path):
    """A small auto-encoder on disk."""
    layers = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    module = AutoencoderTiny(**layers, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))
    module.save_pretrained(tmp_path / "codec")
    return Autoencoder(kind="autoencoder-tiny", weights=str(tmp_path / "codec"))


@pytest.fixture
def moved(monkeypatch):
    """Where codecs were moved to after they were loaded; their devices are pretended."""
    places = []

    def to(module, device, *_args, **_options):
        places.append(device)
        return module

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(AutoencoderTiny, "to", to)
    codecs._load_autoencoder.cache_clear()
    yield places
    codecs._load_autoencoder.cache_clear()


def test_a_codec_is_loaded_once_for_each_of_eight_devices(saved, moved):
    names = [f"cuda:{number % 8}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: load_codec(saved, name, "float32"), names))
    assert sorted(moved) == sorted(set(names))
    assert len({id(codec) for codec in found}) == 8


def test_loading_in_a_lower_precision_changes_nothing_for_other_threads(saved, monkeypatch):
    real, seen = AutoencoderTiny.from_config, []

    def from_config(*args, **options):
        with ThreadPoolExecutor(1) as other:
            seen.append(other.submit(lambda: torch.zeros(1).dtype).result())
        return real(*args, **options)

    monkeypatch.setattr(AutoencoderTiny, "from_config", from_config)
    codecs._load_autoencoder.cache_clear()
    codec = load_codec(saved, "cpu", "bfloat16")
    assert seen == [torch.float32]
    assert codec.encode(torch.zeros(1, 3, 16, 16)).isfinite().all()
    assert {each.dtype for each in codec.module.parameters()} == {torch.bfloat16}
