"""The convolutions of the transport keep all digits, whatever the process allows."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dot_kernels import patch_moments, solve_transport, transport_latents
from dot_kernels.convolution import convolve_patches


class Permissions(TorchDispatchMode):
    """Notes of every convolution whether it may compute in TF32, and what the process says."""

    def __init__(self):
        super().__init__()
        self.seen, self.settings = [], []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.settings.append(torch.backends.cudnn.allow_tf32)
        if operator is torch.ops.aten.convolution.default:
            self.seen.append(torch.backends.cudnn.allow_tf32)
        if operator is torch.ops.aten._convolution.default:
            names = [argument.name for argument in operator._schema.arguments]
            self.seen.append((dict(zip(names, args, strict=False)) | kwargs)["allow_tf32"])
        return operator(*args, **kwargs)


@pytest.fixture
def operator(rng):
    return solve_transport(
        patch_moments(torch.randn(2, 2, 16, 16, generator=rng), 2),
        patch_moments(3 * torch.randn(2, 2, 16, 16, generator=rng) + 1, 2),
    )


@pytest.fixture(params=[True, False])
def allowed(request, monkeypatch):
    """What the process says of TF32; at the start of any process it is True."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", request.param)
    return request.param


@pytest.mark.parametrize(
    ("height", "convolutions"),
    [(9, 9), (4, 1)],  # inside, sides and corners; all patches of small latents
)
def test_no_convolution_computes_in_tf32_and_no_setting_is_touched(
    rng, operator, allowed, height, convolutions
):
    latents = torch.randn(1, 2, height, 11, generator=rng)
    with Permissions() as permissions:
        transport_latents(latents, operator)
    assert permissions.seen == [False] * convolutions
    assert set(permissions.settings) == {allowed}  # not even for a moment: threads share it


def test_gradients_pass_through_the_convolutions(rng, operator):
    latents = torch.randn(1, 2, 9, 11, generator=rng).requires_grad_()
    convolve_patches(latents, operator, 2, "uniform").sum().backward()
    step, steps = torch.zeros(1, 2, 9, 11), []
    step[0, 1, 4, 5] = 1.0
    for sign in (1, -1):
        moved = (latents + sign * step).detach()
        steps.append(convolve_patches(moved, operator, 2, "uniform").double().sum())
    # an affine map, so that the difference has no error but that of 198 sums in float32
    assert_close(latents.grad[0, 1, 4, 5].double(), (steps[0] - steps[1]) / 2, rtol=1e-4, atol=1e-4)
