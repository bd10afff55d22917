"""Where the time goes: laps within laps, devices that are waited for, codecs that are timed."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderTiny

from dot_kernels import AutoencoderCodec, Codec, PixelCodec, StagedCodec, TiledCodec
from dot_kernels.stages import Stage
from tasks.jobs import Outcome, stopwatch
from tasks.jobs.stopwatch import Stopwatch, TimedCodec, timed


@pytest.fixture
def wait(monkeypatch):
    """Lets seconds pass on a clock of its own."""
    clock = SimpleNamespace(now=100.0)

    def pass_by(seconds):
        clock.now += seconds

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return pass_by


def test_the_laps_of_some_work_add_up_to_its_time(wait):
    def work(watch):
        wait(1)
        with watch.lap("read"):
            wait(2)
        with watch.lap("transport"):
            wait(4)
        with watch.lap("read"):
            wait(8)
        return Outcome(images=30)

    outcome = timed(None, work)
    assert outcome.seconds == {"read": 10, "transport": 4, "write": 1}
    assert outcome.rate == 2


def test_time_of_an_inner_lap_is_not_counted_for_the_outer_one(wait):
    watch = Stopwatch()
    with watch.lap("metrics"):
        wait(1)
        with watch.lap("decode network"):
            wait(2)
        wait(4)
    assert watch.so_far() == {"decode network": 2, "metrics": 5}


def test_only_waiting_for_items_counts_and_not_what_is_done_with_them(wait):
    def made():
        for number in range(3):
            wait(1)
            yield number
        wait(0.5)

    watch, seen = Stopwatch(), []
    for number in watch.each("read", made()):
        wait(10)
        seen.append(number)
    assert seen == [0, 1, 2]
    assert watch.so_far() == {"read": 3.5}


def test_a_lap_that_fails_is_counted_and_the_outer_one_goes_on(wait):
    watch = Stopwatch()

    def fail():
        with watch.lap("read"):
            wait(1)
            raise ValueError("no")

    with watch.lap("write"):
        with pytest.raises(ValueError, match="no"):
            fail()
        wait(2)
    assert watch.so_far() == {"read": 1, "write": 2}


def test_a_running_lap_is_told_as_far_as_it_is(wait):
    watch = Stopwatch()
    with watch.lap("write"):
        wait(1)
        assert watch.so_far() == {"write": 1}
        wait(2)
    assert watch.so_far() == {"write": 3}


def test_laps_are_told_in_the_order_of_the_work(wait):
    watch = Stopwatch()
    for part in ("write", "metrics", "read", "load networks"):
        with watch.lap(part):
            wait(1)
    assert list(watch.so_far()) == ["load networks", "read", "metrics", "write"]


def test_a_lap_lasts_until_its_device_has_done_what_it_was_given(wait, monkeypatch):
    waited = []

    def synchronize(device):
        waited.append(device)
        wait(3)

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    watch = Stopwatch("cuda:1")
    with watch.lap("encode network"):
        wait(1)
    assert watch.so_far() == {"encode network": 4}
    assert waited == ["cuda:1"]


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_processor_is_not_waited_for(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: pytest.fail("waited"))
    watch = Stopwatch(device)
    with watch.lap("read"), watch.lap("write"):
        watch.so_far()


def test_a_timed_codec_gives_what_the_codec_gives(wait, rng):
    class Slow(PixelCodec):
        def encode(self, images):
            wait(1)
            return super().encode(images)

        def decode(self, latents):
            wait(2)
            return super().decode(latents)

    images, watch = torch.rand(2, 3, 8, 8, generator=rng), Stopwatch()
    codec = TimedCodec(Slow(4), watch)
    assert isinstance(codec, Codec)
    assert (codec.factor, codec.channels) == (4, 48)
    latents = codec.encode(images)
    assert torch.equal(latents, PixelCodec(4).encode(images))
    assert torch.equal(codec.decode(latents), images)
    assert watch.so_far() == {"encode network": 1, "decode network": 2}


def test_stages_of_a_timed_codec_are_counted_as_its_decoder(wait, rng):
    def slow(tensor):
        wait(1)
        return tensor

    def slow_image(tensor):
        return slow(tensor)[:, :3]

    watch, tiled = Stopwatch(), TiledCodec(AutoencoderCodec(AutoencoderTiny()), 64)
    stages = [Stage(apply=slow, channels=4), Stage(apply=slow_image, channels=3)]
    codec = TimedCodec(tiled, watch).with_stages(stages)
    assert isinstance(codec, StagedCodec)
    assert codec.stages == tuple(stages)
    assert len(TimedCodec(tiled, watch).stages) == 5
    latents = torch.rand(1, 4, 2, 2, generator=rng)
    (activations,) = codec.activations(latents, 1)
    assert torch.equal(activations, latents)
    assert watch.so_far() == {"decode network": 1}
    codec.decode(latents)
    assert watch.so_far() == {"decode network": 3}


def test_an_outcome_says_what_device_it_came_from_if_there_was_one():
    assert timed(None, lambda _: Outcome(images=1)).device is None
    assert timed("cpu", lambda _: Outcome(images=1)).device.startswith("cpu of ")
