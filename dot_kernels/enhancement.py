"""Enhancement of restored images: encode, transport, decode, interpolate.

Axes: a alphas, b images, h and w image height and width, c latent channels, y and x
latent height and width. Images are float in [0, 1].

alpha is that of Adrai et al. 2023, eq. 4: 0 is the full transport, 1 the restored image
unchanged; any real number is allowed. E and D are the codec's encoder and decoder, T is
the transport of latents. D after T moves activations too, where the operator has maps for them
(``levels``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.codecs import Codec
from dot_kernels.latent_transport import transport_latents
from dot_kernels.levels import Operator, latent_part, least_side, with_levels
from dot_kernels.padding import pad_by_reflection
from dot_kernels.patches import Fold

Decoding = Literal["residual", "direct"]
"""``residual``: x + (1 − alpha)(D(T(E x)) − D(E x)), in which the codec's own error
cancels. ``direct``, as in the paper: (1 − alpha) D(T(E x)) + alpha x."""

Interpolation = Literal["image", "latent"]
"""What alpha interpolates: ``image`` decoded images (one decoding for all alphas),
``latent`` the latents before decoding (one decoding for each alpha); maps of activations, where
there are some, then move (1 − alpha) of the way too."""


@dataclass(frozen=True, slots=True, eq=False)
class Transported:
    """A batch of images before and after the transport, to be interpolated at any alpha.

    The latents are those of the padded images; ``whole_cells`` leaves the padding out.
    """

    images: Float[Tensor, "b 3 h w"]
    """The restored images x."""
    latents: Float[Tensor, "b c y x"]
    """E x."""
    mapped_latents: Float[Tensor, "b c y x"]
    """T(E x)."""
    codec_images: Float[Tensor, "b 3 h w"] | None
    """D(E x) for residual decoding; None for direct decoding, which does not need it."""
    mapped_images: Float[Tensor, "b 3 h w"] | None
    """D(T(E x)) for image interpolation; None for latent interpolation."""
    codec: Codec
    operator: Operator | None = None
    """What moved them, for latent interpolation; None will do if it has no maps at levels."""
    fold: Fold = "uniform"
    last_change: Float[Tensor, "b 3 h w"] | None = None
    """Of several rounds (``rounds``), the direction of the last alone; None for a single one."""

    def at(self, alpha: float) -> Float[Tensor, "b 3 h w"]:
        """The enhanced images in [0, 1].

        At alpha = 1 these are the restored images, bit for bit, except with direct
        decoding and latent interpolation, where they are D(E x).
        """
        if self.codec_images is not None:
            if alpha == 1:
                return self.images
            return within_range(self.images + self._difference(alpha, self.codec_images))
        if self.mapped_images is None:
            return within_range(self._decode_at(alpha))
        return within_range(torch.lerp(self.mapped_images, self.images, alpha))

    def direction(self) -> Float[Tensor, "b 3 h w"] | None:
        """The direction r with ``at(alpha)`` = x + (1 − alpha) r, clipped to [0, 1].

        D(T(E x)) − D(E x) with residual decoding, D(T(E x)) − x with direct decoding.
        None for latent interpolation, after which images are not linear in alpha.
        """
        if self.mapped_images is None:
            return None
        base = self.images if self.codec_images is None else self.codec_images
        return self.mapped_images - base

    def last_direction(self) -> Float[Tensor, "b 3 h w"] | None:
        """The part of ``direction`` whose low frequencies are known: that of the last round."""
        return self.direction() if self.last_change is None else self.last_change

    def _difference(
        self, alpha: float, codec_images: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """What residual decoding adds to the images: D(interpolated) − D(E x)."""
        if self.mapped_images is None:
            return self._decode_at(alpha) - codec_images
        return (1 - alpha) * (self.mapped_images - codec_images)

    def _decode_at(self, alpha: float) -> Float[Tensor, "b 3 h w"]:
        """The decoded (1 − alpha) T(E x) + alpha E x, with the noise that T drew."""
        latents = (1 - alpha) * self.mapped_latents + alpha * self.latents
        return decode_as(latents, self.images, self._codec_at(alpha))

    def _codec_at(self, alpha: float) -> Codec:
        """The codec whose maps at levels move (1 − alpha) of the way."""
        if self.operator is None:
            return self.codec
        return with_levels(self.codec, self.operator, alpha=alpha, fold=self.fold)


def enhance(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    operator: Operator,
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
        operator: from ``solve_transport`` or ``fit_levels``.
        alphas: at least one; 0 is the full transport, 1 the restored image unchanged.
        decoding: see ``Decoding``.
        interpolation: see ``Interpolation``.
        fold: weights of overlapping patches, see ``Fold``.
        generators: one per image on the CPU; only used by a stochastic operator.

    Raises:
        ValueError: there are no alphas, the operator does not fit the codec, a stochastic
            operator has a wrong number of generators, or an enhanced image is not finite.
    """
    transported = transport_images(
        images,
        codec,
        operator,
        decoding=decoding,
        interpolation=interpolation,
        fold=fold,
        generators=generators,
    )
    return at_each(transported, alphas)


def at_each(transported: Transported, alphas: Sequence[float]) -> Float[Tensor, "a b 3 h w"]:
    """The enhanced images for every alpha, in [0, 1].

    Raises:
        ValueError: there are no alphas, or an enhanced image is not finite.
    """
    if not alphas:
        raise ValueError("alphas must hold at least one number, got none")
    return require_finite(torch.stack([transported.at(alpha) for alpha in alphas]))


def transport_images(
    images: Float[Tensor, "b 3 h w"],
    codec: Codec,
    operator: Operator,
    *,
    decoding: Decoding = "residual",
    interpolation: Interpolation = "image",
    fold: Fold = "uniform",
    generators: Sequence[torch.Generator] = (),
) -> Transported:
    """Images encoded, transported and decoded, to be interpolated at any alpha.

    The arguments are those of ``enhance``. Values that are not finite are kept, so that
    a caller can tell which image of a batch they belong to.

    Raises:
        ValueError: the operator does not fit the codec, or a stochastic operator has a
            wrong number of generators.
    """
    moved = with_levels(codec, operator, fold=fold)
    latents = encode_padded(images, codec, least=least_side(operator, codec))
    mapped = transport_latents(latents, latent_part(operator), fold=fold, generators=generators)
    return Transported(
        images=images,
        latents=latents,
        mapped_latents=mapped,
        codec_images=decode_as(latents, images, codec) if decoding == "residual" else None,
        mapped_images=decode_as(mapped, images, moved) if interpolation == "image" else None,
        codec=codec,
        operator=operator,
        fold=fold,
    )


def encode_padded(
    images: Float[Tensor, "b 3 h w"], codec: Codec, *, least: int = 1
) -> Float[Tensor, "b c y x"]:
    """Latents of images that are padded to a multiple of the codec's factor.

    Args:
        images: of any size.
        codec: encodes the padded images.
        least: height and width, in latent pixels, that the latents have at least.
    """
    height, width = (
        max(-(-side // codec.factor), least) * codec.factor for side in images.shape[2:]
    )
    return codec.encode(pad_by_reflection(images, height, width))


def decode_as(
    latents: Float[Tensor, "b c y x"], images: Float[Tensor, "b 3 h w"], codec: Codec
) -> Float[Tensor, "b 3 h w"]:
    """Decoded latents, cropped to the size of the images, in their dtype on their device."""
    return codec.decode(latents)[:, :, : images.shape[2], : images.shape[3]].to(images)


def whole_cells(
    latents: Float[Tensor, "b c y x"], size: Sequence[int], factor: int
) -> Float[Tensor, "b c y2 x2"]:
    """The latent pixels whose factor × factor cell of image pixels holds no padding.

    Args:
        latents: of padded images.
        size: height and width of the images.
        factor: of the codec.
    """
    return latents[:, :, : size[0] // factor, : size[1] // factor]


def within_range(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images clamped to [0, 1], except that infinity and NaN become NaN."""
    return torch.where(images.isfinite(), images.clamp(0, 1), torch.nan)


def require_finite(enhanced: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """The same images.

    Raises:
        ValueError: one of them is not finite.
    """
    if not bool(torch.isfinite(enhanced).all()):
        raise ValueError(
            "enhanced images must be finite, got NaN or infinity; check the input images, "
            "or run the network in float32"
        )
    return enhanced
