"""The images of each signal, and their latents, from a batch before and after the transport.

Axes: b images, h and w image height and width, c latent channels, y and x latent height and
width.
"""

import torch
from torch import Tensor

from dot_kernels import Transported
from dot_kernels.enhancement import decode_as, encode_padded, within_range
from tasks.io.images.pixels import finite
from tasks.io.workspace import CODEC_INPUT, INPUT, Signal


def images_of(signal: Signal, transported: Transported, references: Tensor | None) -> Tensor | None:
    """Return the images of a signal, (b, 3, h, w) in [0, 1].

    Args:
        signal: the enhanced images at an alpha, or a control.
        transported: the batch of restored images.
        references: their ground truth (b, 3, h, w); None without one, and then there are no
            images of the control ``codec``, for which None is returned.
    """
    if signal.alpha is not None:
        return transported.at(signal.alpha)
    if signal == INPUT:
        return transported.images
    codec = transported.codec
    if signal == CODEC_INPUT:
        decoded = transported.codec_images
        if decoded is None:
            decoded = decode_as(transported.latents, transported.images, codec)
        return within_range(decoded)
    if references is None:
        return None
    return within_range(decode_as(encode_padded(references, codec), references, codec))


def latents_of(signal: Signal, images: Tensor, transported: Transported) -> Tensor:
    """Return the latents (b, c, y, x) of which a signal's moments are taken.

    These are the latents before decoding for the enhanced images, E(x*) for the input, and
    E(D(E(x))) for the codec. No moments are taken of the control ``codec_input``.

    Args:
        signal: the enhanced images at an alpha, ``input`` or ``codec``.
        images: of the signal, as ``images_of`` returns them.
        transported: the batch of restored images.
    """
    if signal.alpha is not None:
        mapped, plain = transported.mapped_latents, transported.latents
        return (1 - signal.alpha) * mapped + signal.alpha * plain
    if signal == INPUT:
        return transported.latents
    return encode_padded(images, transported.codec)


def all_finite(transported: Transported) -> Tensor:
    """Return for each picture whether all that the networks made of it is finite: (b,) bool."""
    made = (
        transported.latents,
        transported.mapped_latents,
        transported.codec_images,
        transported.mapped_images,
    )
    return torch.stack([finite(each) for each in made if each is not None]).all(dim=0)
