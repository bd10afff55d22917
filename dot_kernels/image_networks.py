"""Networks from images to images, of the sizes that they take, and in tiles where these are large.

Axes: b images, c channels in and k out, h and w height and width in, H and W out. Images are
float in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.blending import SeamError, TilePlan, blended
from dot_kernels.padding import pad_by_reflection


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSizes:
    """Heights and widths of the images that a network takes."""

    multiple: int = 1
    """What both are multiples of, as of the side of an attention window."""
    minimum: int = 1
    """The least that both can be."""
    square: bool = False
    """Whether both must be equal."""

    def around(self, height: int, width: int) -> tuple[int, int]:
        """The smallest height and width that are allowed, and no less than these."""
        sides = (max(side, self.minimum, self.multiple) for side in (height, width))
        down, across = (-(-side // self.multiple) * self.multiple for side in sides)
        return (max(down, across),) * 2 if self.square else (down, across)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetwork:
    """A network whose output is its input ``scale`` times as large.

    Images of a size that it does not take are continued by reflection, and the output is cut.
    """

    whole: Callable[[Tensor], Tensor]
    """The network: images (b, c, h, w) of a size that it takes to images (b, k, H, W)."""
    scale: int = 1
    sizes: AllowedSizes = AllowedSizes()
    in_tiles: Callable[[Tensor, int], Tensor] | None = None
    """Takes images, and pixels of a tile at most, and gives what ``whole`` does; None for a
    network that is not known to be a chain of local layers."""

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k H W"]:
        """The output for whole images.

        Raises:
            ValueError: it is not ``scale`` times as large as the input.
        """
        height, width = images.shape[2:]
        down, across = self.sizes.around(height, width)
        made = self.whole(pad_by_reflection(images, down, across))
        wanted = len(images), down * self.scale, across * self.scale
        if made.ndim != 4 or (len(made), *made.shape[2:]) != wanted:
            raise ValueError(
                f"output of the network must have {wanted[1]}×{wanted[2]} pixels for an input of "
                f"{down}×{across}, got the shape {tuple(made.shape)} for {len(images)} image(s)"
            )
        return made[:, :, : height * self.scale, : width * self.scale]

    def tiled(
        self, images: Float[Tensor, "b c h w"], tile: int, hear: Callable[[SeamError], None]
    ) -> Float[Tensor, "b k H W"]:
        """The output for images, in tiles where they are larger than one.

        Chains of local layers give what they give for whole images: in float32 on the CPU the
        same bits. Other networks are given tiles that overlap by a quarter of their side, and
        that begin at multiples of what their sides are multiples of; one is blended linearly
        into the next. One that takes squares only is given whole images.

        Args:
            images: of one size.
            tile: side of a square with as many pixels as a tile has at most, unless the network
                takes none so small.
            hear: is told how much the tiles of an image differ where they are blended.
        """
        height, width = images.shape[2:]
        if height * width <= tile**2 or self.sizes.square:
            return self(images)
        if self.in_tiles is not None:
            return self.in_tiles(images, tile**2)
        made = []
        for image in images[:, None]:
            whole, seams = self._blended(image, tile)
            hear(seams)
            made.append(whole[:, :, : height * self.scale, : width * self.scale])
        return torch.cat(made)

    def _blended(
        self, image: Float[Tensor, "1 c h w"], tile: int
    ) -> tuple[Float[Tensor, "1 k H W"], SeamError]:
        """The output for an image in blended tiles, and how much these differ."""
        unit = self.sizes.multiple
        padded = pad_by_reflection(image, *self.sizes.around(*image.shape[2:]))
        height, width = (length // unit for length in padded.shape[2:])
        least = self.sizes.minimum // unit
        plan = TilePlan.of(height, width, max(tile // unit, 1), least=least)
        bands = list(blended(self, [padded], (unit, unit * self.scale), plan))
        return torch.cat([band for band, _ in bands], dim=2), sum(
            (seams for _, seams in bands), SeamError()
        )
