"""Networks from image to image: sizes that they take, and tiles of large images."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dot_kernels import SeamError
from dot_kernels.image_networks import AllowedSizes, ImageNetwork
from dot_kernels.local_layers import layers_of
from dot_kernels.local_networks import LocalNetwork


def unheard(_):
    pytest.fail("tiles that are exact, or none, have no error at seams")


def blurring(scale=1):
    """Averages nine neighbours, then repeats pixels."""

    def whole(images):
        averaged = nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        return averaged.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    return whole


@pytest.mark.parametrize(
    ("sizes", "given", "wanted"),
    [
        (AllowedSizes(), (5, 7), (5, 7)),
        (AllowedSizes(multiple=8), (8, 9), (8, 16)),
        (AllowedSizes(multiple=8), (3, 24), (8, 24)),
        (AllowedSizes(minimum=16), (5, 20), (16, 20)),
        (AllowedSizes(multiple=4, minimum=16, square=True), (5, 21), (24, 24)),
    ],
)
def test_the_smallest_size_around_an_image_that_is_allowed(sizes, given, wanted):
    assert sizes.around(*given) == wanted


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_network_sees_sizes_that_it_takes_and_its_output_is_cut(rng, scale):
    seen = []

    def whole(images):
        seen.append(tuple(images.shape[2:]))
        return images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    network = ImageNetwork(whole=whole, scale=scale, sizes=AllowedSizes(multiple=8, minimum=16))
    images = torch.rand(2, 3, 9, 21, generator=rng)
    made = network(images)
    assert seen == [(16, 24)]
    expected = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    assert_close(made, expected, rtol=0, atol=0)


def test_an_output_of_another_size_is_refused_with_both(rng):
    network = ImageNetwork(whole=lambda images: images[:, :, 1:], scale=1)
    with pytest.raises(ValueError, match=r"must have 6×7 pixels .* got the shape \(1, 3, 5, 7\)"):
        network(torch.rand(1, 3, 6, 7, generator=rng))


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(50, 60), (7, 300), (300, 7), (33, 33)])
@pytest.mark.parametrize("multiple", [1, 4])
def test_blended_tiles_of_a_local_network_are_those_of_the_whole(
    rng, scale, height, width, multiple
):
    """Its neighbourhood is smaller than half of an overlap, so that tiles agree, but for where
    a tile's own border is seen: at the outermost pixel, whose weight is small but not 0."""
    network = ImageNetwork(
        whole=blurring(scale), scale=scale, sizes=AllowedSizes(multiple=multiple)
    )
    images, heard = torch.rand(2, 3, height, width, generator=rng), []
    made = network.tiled(images, 32, heard.append)
    assert made.shape == (2, 3, height * scale, width * scale)
    assert len(heard) == 2
    assert float((made - network(images)).abs().mean()) < 0.002
    seams = sum(heard, SeamError())
    assert 0 < seams.rms < 60


def test_tiles_of_a_network_without_a_neighbourhood_are_exact_and_heard_so(rng):
    network = ImageNetwork(whole=lambda images: 1 - images)
    images, heard = torch.rand(1, 3, 70, 90, generator=rng), []
    made = network.tiled(images, 32, heard.append)
    assert_close(made, 1 - images)
    assert heard[0].count > 0
    assert heard[0].largest < 1e-3


def test_no_tile_is_smaller_than_a_network_takes_nor_of_another_multiple(rng):
    seen = []

    def whole(images):
        seen.append(tuple(images.shape[2:]))
        return images

    sizes = AllowedSizes(multiple=16, minimum=48)
    network = ImageNetwork(whole=whole, sizes=sizes)
    network.tiled(torch.rand(1, 3, 200, 333, generator=rng), 64, lambda _: None)
    assert len(seen) > 1
    assert all(side % 16 == 0 and side >= 48 for size in seen for side in size)


def test_small_images_and_those_of_a_network_for_squares_are_whole(rng):
    seen = []

    def whole(images):
        seen.append(tuple(images.shape))
        return images

    images = torch.rand(3, 3, 20, 30, generator=rng)
    ImageNetwork(whole=whole).tiled(images, 32, unheard)
    ImageNetwork(whole=whole, sizes=AllowedSizes(square=True)).tiled(images, 8, unheard)
    assert seen == [(3, 3, 20, 30), (3, 3, 30, 30)]


def test_a_chain_of_convolutions_with_batch_normalisation_is_exact_in_tiles(rng):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        convolutions = [nn.Conv2d(3, 8, 3, 1, 1), *(nn.Conv2d(8, 8, 3, 1, 1) for _ in range(3))]
        chain = nn.Sequential()
        for convolution in convolutions:
            chain.extend([convolution, nn.BatchNorm2d(8), nn.LeakyReLU(0.1, inplace=True)])
        chain.append(nn.Conv2d(8, 3, 3, 1, 1))
    chain(torch.rand(4, 3, 16, 16, generator=rng))  # it learns its statistics
    assert layers_of(chain) is None  # while they are of the batch
    chain.eval().double()
    layers = layers_of(chain)
    network = ImageNetwork(whole=chain, in_tiles=LocalNetwork(layers).in_tiles)
    images = torch.rand(2, 3, 61, 77, generator=rng, dtype=torch.float64)
    with torch.inference_mode():
        made, expected = network.tiled(images, 24, unheard), chain(images)
    assert_close(made, expected, rtol=0, atol=1e-14)
