"""The networks of residual-conditioned transport: sizes, conditions, gradients and weights."""

import pytest
import torch
from torch.nn.functional import pad
from torch.testing import assert_close

from dot_kernels.residual_networks import Potential, ResidualMap, draw_weights


def drawn(network, seed=0, *, awake=False):
    """A network in float64 with weights of a seed; awake, none of its layers begins at 0."""
    generator = torch.Generator().manual_seed(seed)
    draw_weights(network, generator)
    if awake:
        with torch.no_grad():
            for weight in network.parameters():
                if not weight.any():
                    weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return network.double()


@pytest.fixture
def images(rng):
    return torch.rand(2, 3, 16, 20, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_fresh_map_is_the_identity(images, passes):
    assert torch.equal(drawn(ResidualMap(width=4, passes=passes))(images), images)


def test_a_fresh_potential_is_nowhere_steep(images):
    assert torch.equal(drawn(Potential(width=4))(images), torch.zeros(2, dtype=torch.float64))


def test_two_passes_equal_one_while_the_guide_says_nothing(images):
    two = drawn(ResidualMap(width=4), awake=True)
    one = ResidualMap(width=4, passes=1).double()
    one.network.load_state_dict(two.network.state_dict())
    assert (two(images) - one(images)).abs().max() > 1e-3
    with torch.no_grad():
        for said in two.guide.said:
            said.weight.zero_()
            said.bias.zero_()
    assert torch.equal(two(images), one(images))


def test_the_second_pass_is_told_what_the_first_took_away(images):
    two = drawn(ResidualMap(width=4), awake=True)
    heard = []
    two.guide.register_forward_hook(lambda module, given, told: heard.append(given[0]))
    restored = two(images)
    assert_close(heard[0], two.network(images, None))
    assert_close(restored, images - two.network(images, two.guide(heard[0])))


def test_gradients_flow_through_both_passes(images):
    """Held while it is in the second pass only, the network still moves by what the guide heard."""
    two = drawn(ResidualMap(width=4), awake=True)
    told = two.guide(two.network(images, None))
    held = {name: weight.detach() for name, weight in two.network.named_parameters()}
    second = torch.func.functional_call(two.network, held, (images, told))
    second.square().mean().backward()
    first = {name: weight.grad.clone() for name, weight in two.named_parameters()}
    assert all(gradient.abs().max() > 0 for gradient in first.values())
    two.zero_grad()
    two.network(images, two.guide(two.network(images, None).detach())).square().mean().backward()
    alone = {name: weight.grad.clone() for name, weight in two.named_parameters()}
    two.zero_grad()
    (images - two(images)).square().mean().backward()
    for name, weight in two.network.named_parameters():
        expected = first[f"network.{name}"] + alone[f"network.{name}"]
        assert_close(weight.grad, expected)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 17, 30])
def test_any_size_works_and_stays(rng, side):
    images = torch.rand(1, 3, side, 7, generator=rng, dtype=torch.float64)
    assert drawn(ResidualMap(width=4), awake=True)(images).shape == images.shape
    assert drawn(Potential(width=4))(images).shape == (1,)


def test_odd_sizes_are_continued_by_reflection_and_multiples_are_not(images):
    network = drawn(ResidualMap(width=4), awake=True)
    reflected = pad(images[:, :, :13, :18], (0, 2, 0, 3), mode="reflect")
    assert torch.equal(network(images[:, :, :13, :18]), network(reflected)[:, :, :13, :18])
    assert torch.equal(
        network(images),
        images - network.network(images, network.guide(network.network(images, None))),
    )


def test_images_of_a_batch_do_not_know_each_other(images):
    network, potential = (drawn(kind(width=4), awake=True) for kind in (ResidualMap, Potential))
    assert_close(network(images)[1:], network(images[1:]))
    assert_close(potential(images)[1:], potential(images[1:]))


def test_a_place_of_the_potential_sees_23_pixels_a_side(rng):
    image = torch.rand(1, 3, 64, 64, generator=rng, dtype=torch.float64).requires_grad_()
    place = drawn(Potential(width=4), awake=True).layers(2 * image - 1)[0, 0, 8, 8]
    (slope,) = torch.autograd.grad(place, image)
    seen = slope[0].abs().sum(dim=0).nonzero()
    assert (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist() == [23, 23]


@pytest.mark.parametrize("kind", [ResidualMap, Potential])
def test_weights_follow_from_the_generator_alone(kind):
    torch.manual_seed(1)
    first = drawn(kind(width=4)).state_dict()
    torch.manual_seed(2)
    second, other = drawn(kind(width=4)).state_dict(), drawn(kind(width=4), 1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_weights_have_the_variance_of_he():
    weight = drawn(Potential(width=64)).layers[2].weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("kind", [ResidualMap, Potential])
def test_other_channels_and_widths_are_refused(kind):
    with pytest.raises(ValueError, match=r"must have the shape \(b, 3, h, w\), got \(1, 1, 8, 8\)"):
        kind(width=4)(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        kind(width=0)


def test_three_passes_are_refused():
    with pytest.raises((ValueError, TypeError), match=r"passes must be 1 or 2, got 3|passes"):
        ResidualMap(width=4, passes=3)
