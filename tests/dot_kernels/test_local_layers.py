import pytest
from torch import nn

from dot_kernels.local_layers import layers_of


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, 3, padding="same"),
        nn.Conv2d(3, 3, 3, dilation=2),
        nn.Conv2d(3, 3, (3, 1)),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(size=(4, 4)),
        nn.GroupNorm(1, 3),
    ],
)
def test_a_chain_with_a_layer_that_is_not_known_as_local_is_none(module):
    assert layers_of(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), module)) is None


def test_only_chains_of_layers_are_known_as_local():
    assert layers_of(nn.Conv2d(3, 3, 3)) is None


class AutoencoderTinyBlock(nn.Module):
    """A block of another version, with layers that would not be followed rightly."""

    def __init__(self, *layers):
        super().__init__()
        self.conv = nn.Sequential(*layers)


@pytest.mark.parametrize("layers", [(), (nn.Conv2d(3, 3, 3, stride=2, padding=1),)])
def test_a_block_that_is_not_that_of_diffusers_is_not_known_as_local(layers):
    assert layers_of(nn.Sequential(AutoencoderTinyBlock(*layers))) is None
