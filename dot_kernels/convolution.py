"""The affine map of all overlapping patches, averaged back, as convolutions.

Axes: b images, c output and e input latent channels, h and w latent height and width,
p patch size; along the height, o outputs, s inputs, k and l rows of a patch; along the
width, q outputs, t inputs, m and n columns of a patch.

An output pixel is the weighted average of what the patches that cover it map to, so it
is an affine function of its (2p−1) × (2p−1) neighbourhood: the same function at every
pixel that p × p patches cover. The p − 1 outermost rows and columns are the border:
fewer patches cover these pixels, and each has a function of its own. So latents are
cut into nine rectangles (the inside, four sides, four corners), each one convolution.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from dot_kernels.patches import Fold, fold_weights
from dot_kernels.transport import TransportOperator


class _Segment(NamedTuple):
    """Outputs along one axis that one convolution computes, and the inputs they depend on.

    The inside of any axis has the same kernel, and so has its border, so both are given
    as indices on an axis of the shortest length (``shortest_side``).
    """

    outputs: range
    inputs: range


class _Kernel(NamedTuple):
    """A convolution that gives a block of o × q outputs at each position.

    Its output channels are in the order (c, o, q). Along an axis, either the block is a
    whole border and there is one position, or the block is one pixel.
    """

    weight: Float[Tensor, "out e s t"]
    bias: Float[Tensor, "out"]
    block: tuple[int, int]


def shortest_side(size: int) -> int:
    """The least height and width, in latent pixels, of latents to be convolved: 4p − 3.

    The shortest axis with a pixel whose patches contain no pixel of the border. On
    shorter ones the border's kernels would cost more than mapping each patch.
    """
    return 4 * (size - 1) + 1


def convolve_patches(
    latents: Float[Tensor, "b e h w"], operator: TransportOperator, size: int, fold: Fold
) -> Float[Tensor, "b c h w"]:
    """The weighted average of all patches after the operator's map, without its noise.

    Args:
        latents: at least ``shortest_side`` high and wide; their dtype is kept.
        operator: of dimension e * p * p, and c = e.
        size: the patch size p.
        fold: weights of the average.
    """
    if size == 1:  # no border, and no copy of what may be all channels at full resolution
        inside = _segments(1, 1)[0][0]
        return _convolve(
            latents, _kernel(operator, 1, fold, (inside, inside), latents.dtype, latents.device)
        )
    rows = []
    for down, input_rows in _segments(size, latents.shape[2]):
        row = []
        for across, input_columns in _segments(size, latents.shape[3]):
            kernel = _kernel(operator, size, fold, (down, across), latents.dtype, latents.device)
            row.append(_convolve(latents[:, :, input_rows, input_columns], kernel))
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _segments(size: int, length: int) -> list[tuple[_Segment, slice]]:
    """An axis of this length as border, inside, border, each with its slice of inputs."""
    border, reach, shortest = size - 1, 2 * (size - 1), shortest_side(size)
    inside = _Segment(range(reach, reach + 1), range(border, border + reach + 1))
    if border == 0:
        return [(inside, slice(0, length))]
    near = _Segment(range(border), range(reach))
    far = _Segment(range(shortest - border, shortest), range(shortest - reach, shortest))
    return [
        (near, slice(0, reach)),
        (inside, slice(0, length)),
        (far, slice(length - reach, length)),
    ]


def _incidence(size: int, segment: _Segment) -> Float64[Tensor, "o s k l"]:
    """1 where a patch has output o of the segment at its row k and input s at its row l.

    0 elsewhere; the same holds for columns.
    """
    starts = range(shortest_side(size) - size + 1)  # where patches may begin on the axis
    incidence = torch.zeros(
        len(segment.outputs), len(segment.inputs), size, size, dtype=torch.float64
    )
    for o, position in enumerate(segment.outputs):
        for k in range(size):
            if position - k in starts:
                first = position - k - segment.inputs.start
                incidence[o, range(first, first + size), k, range(size)] = 1
    return incidence


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # or gradients would fail later, if the first call was without
def _kernel(
    operator: TransportOperator,
    size: int,
    fold: Fold,
    segments: tuple[_Segment, _Segment],
    dtype: torch.dtype,
    device: torch.device,
) -> _Kernel:
    """The kernel for the outputs of two segments (height, width), computed in float64."""
    down, across = (_incidence(size, segment) for segment in segments)
    covered_down, covered_across = down.amax((1, 3)), across.amax((1, 3))  # (o, k), (q, m)
    weights = fold_weights(size, fold)  # (k, m)
    shape = (operator.dimension // size**2, size, size)
    matrix = operator.matrix.cpu().view(*shape, *shape)  # (c, k, m, e, l, n)
    matrix = matrix * weights[:, :, None, None, None]
    offset = operator.offset().cpu().view(shape) * weights  # (c, k, m)
    total = torch.einsum("ok,qm,km->oq", covered_down, covered_across, weights)
    partial = torch.einsum("ckmeln,oskl->cmenos", matrix, down)
    weight = torch.einsum("cmenos,qtmn->coqest", partial, across)
    weight = weight / total[:, :, None, None, None]
    bias = torch.einsum("ckm,ok,qm->coq", offset, covered_down, covered_across) / total
    return _Kernel(
        weight.flatten(0, 2).to(device, dtype),
        bias.flatten().to(device, dtype),
        (len(covered_down), len(covered_across)),
    )


def _convolve(window: Float[Tensor, "b e h w"], kernel: _Kernel) -> Float[Tensor, "b c y x"]:
    """The rectangle of y × x outputs that depend on this window of the latents."""
    blocks = convolve_exactly(window, kernel.weight, kernel.bias)
    batch, _, height, width = blocks.shape
    down, across = kernel.block
    blocks = blocks.view(batch, -1, down, across, height, width)  # (b, c, o, q, h, w)
    # Rows and columns of a block may be placed like this, because along each axis either
    # the block or the positions are one pixel long.
    return blocks.transpose(3, 4).reshape(batch, -1, down * height, across * width)


def convolve_exactly(
    window: Float[Tensor, "b e s t"],
    weight: Float[Tensor, "out e k l"],
    bias: Float[Tensor, "out"],
) -> Float[Tensor, "b out y x"]:
    """``functional.conv2d``, but never in TF32, whatever the caller's settings are.

    TF32 has ten bits, too few for a map with gains of tens, and torch's default for
    convolutions on CUDA. The operator below ``conv2d`` takes the permission as an
    argument, so that no setting of the process is changed, not even for a moment: other
    threads keep theirs.
    """
    cudnn = torch.backends.cudnn
    deterministic = cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    convolved: Tensor = torch.ops.aten._convolution.default(
        window,
        weight,
        bias,
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        transposed=False,
        output_padding=(0, 0),
        groups=1,
        benchmark=cudnn.benchmark,
        deterministic=deterministic,
        cudnn_enabled=cudnn.enabled,
        allow_tf32=False,
    )
    return convolved
