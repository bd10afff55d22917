"""From restored images to enhanced ones: encode, transport, decode, interpolate.

Axes: a alphas, b images, h and w image height and width, c latent channels, y and x
latent height and width. Images are float in [0, 1].

alpha follows Adrai et al. 2023, eq. 4: 0 is the full transport, 1 the image as it
came; any real number is allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec
from dot_kernels.latent_transport import transport_latents
from dot_kernels.patches import Fold, patch_size_of
from dot_kernels.transport import TransportOperator

Decoding = Literal["residual", "direct"]
"""``residual``: x + (1 − alpha)(D(T(E x)) − D(E x)), which takes the codec's own error
out of the result. ``direct``, the paper's: (1 − alpha) D(T(E x)) + alpha x."""

Interpolation = Literal["image", "latent"]
"""Where alpha acts: between images (one decode for all alphas), or on the operator,
which then moves toward the identity (one decode for each alpha)."""


@dataclass(frozen=True, slots=True, eq=False)
class Transported:
    """A batch of images on both sides of the transport, ready for any alpha.

    ``latents`` and ``mapped_latents`` cover the padded images; the function
    ``whole_cells`` cuts them down to cells without padding. ``codec_images`` is D(E x),
    and is None with direct decoding, which has no use for it.
    """

    images: Float[Tensor, "b 3 h w"]
    latents: Float[Tensor, "b c y x"]
    mapped_latents: Float[Tensor, "b c y x"]
    codec_images: Float[Tensor, "b 3 h w"] | None
    mapped_images: Float[Tensor, "b 3 h w"] | None
    codec: Codec

    def at(self, alpha: float) -> Float[Tensor, "b 3 h w"]:
        """The enhanced images in [0, 1]; at alpha = 1 the images, bit for bit.

        Only direct decoding with latent interpolation gives D(E x) at alpha = 1.
        """
        if self.codec_images is not None:
            if alpha == 1:
                return self.images
            return within_range(self.images + self._difference(alpha, self.codec_images))
        if self.mapped_images is None:
            return within_range(self._decode_at(alpha))
        return within_range(torch.lerp(self.mapped_images, self.images, alpha))

    def direction(self) -> Float[Tensor, "b 3 h w"] | None:
        """The line the alphas lie on: ``at(alpha)`` is images + (1 − alpha)·direction, clipped.

        None for latent interpolation, where alphas lie on no line.
        """
        if self.mapped_images is None:
            return None
        base = self.images if self.codec_images is None else self.codec_images
        return self.mapped_images - base

    def _difference(
        self, alpha: float, codec_images: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """What residual decoding adds to the images."""
        if self.mapped_images is None:
            return self._decode_at(alpha) - codec_images
        return (1 - alpha) * (self.mapped_images - codec_images)

    def _decode_at(self, alpha: float) -> Float[Tensor, "b 3 h w"]:
        """Decoding under (1 − alpha)·T + alpha·identity, noise and means included."""
        latents = (1 - alpha) * self.mapped_latents + alpha * self.latents
        return decode_as(latents, self.images, self.codec)


def enhance(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    operator: TransportOperator,
    alphas: Sequence[float],
    *,
    decoding: Decoding = "residual",
    interpolation: Interpolation = "image",
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Float[Tensor, "a b 3 h w"]:
    """Enhanced images for every alpha, in [0, 1].

    Args:
        images: restored images in [0, 1], of any size.
        codec: the codec that the operator was fitted with.
        operator: from ``solve_transport``.
        alphas: 0 is the full transport, 1 the image as it came.
        decoding: see ``Decoding``.
        interpolation: see ``Interpolation``.
        fold: weights of overlapping patches.
        generators: one per image, for a stochastic operator only.

    Raises:
        ValueError: no alphas, or the network's output is not finite.
    """
    if not alphas:
        raise ValueError("alphas must hold at least one number, got none")
    transported = transport_images(
        images,
        codec,
        operator,
        decoding=decoding,
        interpolation=interpolation,
        fold=fold,
        generators=generators,
    )
    enhanced = torch.stack([transported.at(alpha) for alpha in alphas])
    if not bool(torch.isfinite(enhanced).all()):
        raise ValueError(
            "enhanced images must be finite, got NaN or infinity; check the input images, "
            "or run the network in float32"
        )
    return enhanced


def transport_images(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    operator: TransportOperator,
    *,
    decoding: Decoding = "residual",
    interpolation: Interpolation = "image",
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Transported:
    """Encode, transport and decode once; the result answers for every alpha.

    The arguments are those of ``enhance``. Values that are not finite are passed on,
    so that a caller can tell which image of a batch they belong to.
    """
    size = patch_size_of(operator, codec.channels)
    latents = encode_padded(images, codec, least=size)
    mapped = transport_latents(latents, operator, fold=fold, generators=generators)
    return Transported(
        images=images,
        latents=latents,
        mapped_latents=mapped,
        codec_images=decode_as(latents, images, codec) if decoding == "residual" else None,
        mapped_images=decode_as(mapped, images, codec) if interpolation == "image" else None,
        codec=codec,
    )


def encode_padded(
    images: Float[Tensor, "b 3 h w"], codec: Codec, *, least: int = 1
) -> Float[Tensor, "b c y x"]:
    """Latents of images padded to a multiple of the factor, at least ``least`` cells wide."""
    height, width = (
        max(-(-side // codec.factor), least) * codec.factor for side in images.shape[2:]
    )
    return codec.encode(pad_by_reflection(images, height, width))


def decode_as(
    latents: Float[Tensor, "b c y x"], images: Float[Tensor, "b 3 h w"], codec: Codec
) -> Float[Tensor, "b 3 h w"]:
    """Decoded latents, cropped to the size of the images they came from."""
    return codec.decode(latents)[:, :, : images.shape[2], : images.shape[3]].to(images)


def whole_cells(
    latents: Float[Tensor, "b c y x"], images: Float[Tensor, "b 3 h w"], factor: int
) -> Float[Tensor, "b c y2 x2"]:
    """The latents whose factor × factor cell lies inside the images, padding left out."""
    return latents[:, :, : images.shape[2] // factor, : images.shape[3] // factor]


def within_range(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images clamped to [0, 1]; what is not finite becomes NaN, and is not hidden."""
    return torch.where(images.isfinite(), images.clamp(0, 1), torch.nan)


def pad_by_reflection(
    images: Float[Tensor, "b 3 h w"], height: int, width: int
) -> Float[Tensor, "b 3 h2 w2"]:
    """Images continued to the bottom and the right by mirroring, as often as needed.

    torch's own reflection padding stops at one mirror image, too few for images of a
    few pixels.
    """
    if (height, width) == tuple(images.shape[2:]):
        return images
    rows = _mirrored(images.shape[2], height).to(images.device)
    columns = _mirrored(images.shape[3], width).to(images.device)
    return images[:, :, rows[:, None], columns]


def _mirrored(length: int, wanted: int) -> Tensor:
    """Indices 0 1 2 … n−1 n−2 … 1 0 1 …, ``wanted`` of them."""
    period = max(2 * (length - 1), 1)
    phase = torch.arange(wanted) % period
    return torch.minimum(phase, period - phase) if length > 1 else torch.zeros_like(phase)
