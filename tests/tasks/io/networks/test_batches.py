"""Batches are halved where memory ends, and every item is made once or told to be too large."""

import weakref

import pytest
import torch

from tasks.io.networks.batches import Batches, MemoryLimits

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


pytestmark = pytest.mark.usefixtures("memory_limits")


def work(most, error=OUT_OF_MEMORY[0]):
    """Doubles items, as long as their batch is small enough; also the batches that were tried."""
    tried = []

    def double(part):
        tried.append(len(part))
        if len(part) > most:
            raise error
        return [2 * item for item in part]

    return double, tried


@pytest.mark.parametrize("items", [0, 1, 7, 8, 30])
@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_every_item_is_made_in_order_whatever_fits(items, most):
    double, _ = work(most)
    made = Batches("test", "cpu").run(double, range(items), 64)
    assert made == [2 * item for item in range(items)]


def test_a_batch_that_does_not_fit_is_halved_and_the_size_that_works_is_kept():
    (double, tried), batches = work(most=3), Batches("test", "cpu")
    batches.run(double, range(8), 64)
    batches.run(double, range(5), 64)
    assert tried == [8, 4, 2, 2, 2, 2, 2, 2, 1]
    assert batches.remarks == {"batch_reduced_to": 2}


def test_what_fits_is_known_to_the_whole_process_for_the_same_work_and_device():
    (double, tried) = work(most=2)
    Batches("test", "cpu").run(double, range(4), 64)
    tried.clear()
    for batches in (Batches("test", "cpu"), Batches("other", "cpu"), Batches("test", "meta")):
        batches.run(double, range(4), 64)
    assert tried == [2, 2] + [4, 2, 2] * 2


def test_what_fits_is_not_known_where_the_limits_are_others():
    (double, tried) = work(most=2)
    Batches("test", "cpu").run(double, range(4), 64)
    tried.clear()
    Batches("test", "cpu", MemoryLimits()).run(double, range(4), 64)
    assert tried == [4, 2, 2]


def test_limits_that_were_forgotten_are_learned_again(memory_limits):
    (double, tried) = work(most=2)
    Batches("test", "cpu").run(double, range(4), 64)
    memory_limits.forget()
    Batches("test", "cpu").run(double, range(4), 64)
    assert tried == [4, 2, 2] * 2


def test_what_fits_is_a_number_of_pixels():
    double, tried = work(most=2)
    batches = Batches("test", "cpu")
    batches.run(double, range(4), 64)
    tried.clear()
    batches.run(lambda part: tried.append(len(part)) or part, range(8), 16)
    batches.run(lambda part: tried.append(len(part)) or part, range(3), 128)
    assert tried == [8, 1, 1, 1]


def test_nothing_is_said_where_no_batch_was_cut():
    double, tried = work(most=8)
    batches = Batches("test", "cpu")
    batches.run(double, range(8), 64)
    assert (tried, batches.remarks) == ([8], {})


def test_an_item_that_does_not_fit_alone_is_none_and_the_others_are_made():
    def made(part):
        if 3 in part:
            raise OUT_OF_MEMORY[0]
        return part

    assert Batches("test", "cpu").run(made, range(6), 64) == [0, 1, 2, None, 4, 5]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_all_the_ways_in_which_torch_tells_are_understood(error):
    double, _ = work(2, error)
    assert Batches("test", "cpu").run(double, range(3), 64) == [0, 2, 4]


def test_other_errors_pass():
    double, _ = work(2, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Batches("test", "cpu").run(double, range(3), 64)


def test_tensors_of_a_failed_batch_are_let_go_before_the_next():
    alive = []

    def made(part):
        assert all(reference() is None for reference in alive)
        held = torch.zeros(4)
        alive.append(weakref.ref(held))
        if len(part) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    assert Batches("test", "cpu").run(made, range(4), 64) == [0, 1, 2, 3]


def sized(sizes, too_large, batches=None):
    """Runs images of these sizes, each alone; those of some do not fit."""
    batches = batches or Batches("enhance", "cuda:0")

    def make(part):
        if part[0] in too_large:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    made = [one for size in sizes for one in batches.run(make, [size], size)]
    return batches, made


FULL = "the device 'cuda:0' must have room to enhance an image of 64 pixels, got none now; end "


def test_a_device_without_room_for_any_image_is_no_fault_of_the_images():
    batches, made = sized([64, 64, 64], {64})
    assert made == [None] * 3
    with pytest.raises(OSError, match=FULL):
        batches.require_room()


def test_a_device_that_fills_up_on_the_way_is_no_fault_of_the_images():
    batches, _ = sized([64, 32, 64], {})
    batches.require_room()
    for one in (batches, None):  # in the middle of a shard, or from the start of the next
        full, _ = sized([64, 64, 32], {64, 32}, one)
        with pytest.raises(OSError, match=FULL):
            full.require_room()


def test_what_was_learned_of_a_full_device_is_forgotten():
    batches, (double, tried) = Batches("test", "cpu"), work(most=0)
    batches.run(double, range(8), 64)
    with pytest.raises(OSError, match="must have room"):
        batches.require_room()
    double, tried = work(most=8)
    Batches("test", "cpu").run(double, range(8), 64)
    assert tried == [8]


@pytest.mark.parametrize("sizes", [[32, 64], [64, 32], [64, 32, 64, 48]])
def test_an_image_that_is_larger_than_all_that_fit_may_be_refused(sizes):
    batches, _ = sized(sizes, {64})
    batches.require_room()


def test_an_image_larger_than_all_of_other_shards_may_be_refused():
    sized([32], {})
    batches, made = sized([64], {64})
    assert made == [None]
    batches.require_room()


def test_an_image_may_be_refused_among_others_of_its_size():
    def made(part):
        if 0 in part:
            raise OUT_OF_MEMORY[0]
        return part

    batches = Batches("test", "cpu")
    assert batches.run(made, range(3), 64) == [None, 1, 2]
    batches.require_room()
