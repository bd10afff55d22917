"""Windows, groups and threads: everything once, in order, and never too much at a time."""

import threading

import numpy as np
import pytest
import torch

from tasks.io.images import Raster
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.machine.threads import read_ahead
from tasks.io.shards import Member
from tasks.io.shards.loader import PIXELS_PER_IMAGE, Picture, equal_sizes, windows


def member(key, width=32, height=32):
    return Member(str(key), "t.tar", 0, 1, "", width, height)


@pytest.mark.parametrize("images", [0, 1, 7, 60])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_windows_hold_every_member_once_in_order_within_their_bounds(images, batch):
    sides = np.random.default_rng(images).choice([8, 500, 3000], images)
    members = [member(key, side, side) for key, side in enumerate(sides)]
    found = list(windows(members, batch))
    assert [one for window in found for one in window] == members
    for window in found:
        pixels = sum(one.width * one.height for one in window)
        assert len(window) == 1 or pixels <= batch * PIXELS_PER_IMAGE
        assert len(window) <= 4 * batch


@pytest.mark.parametrize("images", [0, 1, 7, 30])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_groups_are_of_one_size_at_most_a_batch_and_lose_nothing_decoded(images, batch):
    drawn = np.random.default_rng(images).integers(0, 3, images)
    shapes = [[(8, 8), (8, 9), None][index] for index in drawn]
    pictures = [
        Picture(
            member(key),
            None if shape is None else Raster(pixels=np.zeros((*shape, 3), np.uint8)),
            None,
        )
        for key, shape in enumerate(shapes)
    ]
    groups = list(equal_sizes(pictures, batch))
    for group in groups:
        assert len({picture.pixels.shape for picture in group}) == 1
        assert len(group) <= batch
    found = sorted(int(picture.member.key) for group in groups for picture in group)
    assert found == [key for key, shape in enumerate(shapes) if shape is not None]


def test_enormous_images_run_in_smaller_batches():
    large = Raster(pixels=np.broadcast_to(np.uint8(0), (2048, 2048, 3)))
    pictures = [Picture(member(key, large.width, large.height), large, None) for key in range(4)]
    assert [len(group) for group in equal_sizes(pictures, 8)] == [2, 2]


def test_deep_pixels_survive_the_way_through_tensors():
    levels = np.arange(1 << 16, dtype=np.uint16).repeat(3).reshape(256, 256, 3)
    np.testing.assert_array_equal(to_pixels(to_tensor([levels])[0], levels.dtype), levels)
    shades = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    np.testing.assert_array_equal(to_pixels(to_tensor([shades])[0], shades.dtype), shades)


def test_images_of_other_depths_or_channels_are_of_other_groups():
    shades = np.zeros((8, 8, 3), np.uint8)
    kinds = [
        Raster(pixels=shades),
        Raster(pixels=shades.astype(np.uint16)),
        Raster(pixels=shades, is_grey=True),
        Raster(pixels=shades, alpha=shades[..., 0]),
    ]
    pictures = [Picture(member(key, 8, 8), kinds[key % 4], None) for key in range(8)]
    groups = list(equal_sizes(pictures, 5))
    assert [[int(p.member.key) for p in group] for group in groups] == [
        [place, place + 4] for place in range(4)
    ]


def test_eight_bit_pixels_survive_the_way_through_tensors():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor([levels])
    assert tensor.shape == (1, 3, 16, 16)
    assert float(tensor.max()) == 1
    np.testing.assert_array_equal(to_pixels(tensor[0]), levels)


def test_pixels_are_rounded_and_kept_in_range_without_touching_the_tensor():
    image = torch.tensor([-0.2, 0.499 / 255, 0.501 / 255, 1.3]).expand(3, 2, 4).clone()
    before = image.clone()
    np.testing.assert_array_equal(to_pixels(image)[0, :, 0], [0, 0, 1, 255])
    assert torch.equal(image, before)


def test_reading_ahead_keeps_the_order_and_is_one_ahead():
    made = []

    def make(item):
        made.append(item)
        return item * 10

    found = read_ahead(make, range(5))
    assert next(found) == 0
    assert max(made) <= 1
    assert list(found) == [10, 20, 30, 40]


def test_an_exception_while_reading_ahead_reaches_the_reader():
    def make(item):
        if item == 1:
            raise OSError("gone")
        return item

    found = read_ahead(make, range(3))
    assert next(found) == 0
    with pytest.raises(OSError, match="gone"):
        list(found)


def test_a_reader_that_stops_early_leaves_no_thread_and_makes_nothing_more():
    made = []
    found = read_ahead(lambda item: made.append(item) or item, range(100))
    assert next(found) == 0
    found.close()
    assert made in ([0], [0, 1])
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
