"""Linear degradations by their singular value decomposition H = U Σ Vᵀ.

The spectrum of an image x is Vᵀx. It has the image's shape: one coefficient for each
right singular vector, so also for those that H takes to 0. All channels are degraded
alike.

Axes: b images, c channels, h and w height and width of clean images, h2 and w2 of
degraded ones; n and m pixels of an axis before and after.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-4
"""Singular values below this share of the greatest count as 0: float32 has rounded away
what an image shows along their vectors."""


@runtime_checkable
class SpectralDegradation(Protocol):
    """A linear degradation H of images of one size, with its singular value decomposition."""

    @property
    def values(self) -> Float64[Tensor, "h w"]:
        """The singular value of each coefficient of a spectrum, on the CPU; 0 if unseen."""

    def degrade(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The degraded images Hx."""

    def adjoint(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Hᵀy of degraded images, or of residuals."""

    def to_spectrum(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The spectra Vᵀx; an orthogonal map."""

    def from_spectrum(self, spectra: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images with these spectra; the inverse of ``to_spectrum``."""

    def measured(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """What degraded images y show of the spectra, Uᵀy; 0 where they show nothing.

        Of Hx it is ``values`` times the spectrum of x. White noise on y is white noise here.
        """


@dataclass(frozen=True)
class Identity:
    """The degradation that changes nothing, of images of ``height`` × ``width``."""

    height: int
    width: int

    @cached_property
    def values(self) -> Float64[Tensor, "h w"]:
        """All 1."""
        return torch.ones(self.height, self.width, dtype=torch.float64)

    def degrade(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images."""
        return images

    def adjoint(self, degraded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The degraded images."""
        return degraded

    def to_spectrum(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images, which are their own spectra."""
        return images

    def from_spectrum(self, spectra: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The spectra."""
        return spectra

    def measured(self, degraded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The degraded images."""
        return degraded


@dataclass(frozen=True)
class BlockMean:
    """The mean of each block of ``factor`` × ``factor`` pixels.

    ``height`` and ``width`` are those of clean images, multiples of the factor. A spectrum
    is the cosine transform of each block, whose first coefficient is ``factor`` × its mean.
    """

    factor: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height % self.factor or self.width % self.factor:
            raise ValueError(
                f"sides must be multiples of {self.factor}, got {self.height}×{self.width}"
            )

    @cached_property
    def values(self) -> Float64[Tensor, "h w"]:
        """1 / ``factor`` for the first coefficient of each block, and 0."""
        values = torch.zeros(self.height, self.width, dtype=torch.float64)
        values[:: self.factor, :: self.factor] = 1 / self.factor
        return values

    def degrade(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The means of the blocks."""
        means: Tensor = functional.avg_pool2d(images, self.factor)
        return means

    def adjoint(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Each pixel of a block has its share of the block's."""
        rows = degraded.repeat_interleave(self.factor, dim=2)
        return rows.repeat_interleave(self.factor, dim=3) / self.factor**2

    def to_spectrum(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The cosine transform of each block."""
        return self._of_blocks(images, self._cosines.to(images))

    def from_spectrum(self, spectra: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The inverse transform of each block."""
        return self._of_blocks(spectra, self._cosines.mT.to(spectra))

    def measured(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """The means, each at the place of its block's first coefficient."""
        spectra = degraded.new_zeros(*degraded.shape[:2], self.height, self.width)
        spectra[:, :, :: self.factor, :: self.factor] = degraded
        return spectra

    @cached_property
    def _cosines(self) -> Float64[Tensor, "n n"]:
        """Orthonormal rows; the first is constant."""
        k = torch.arange(self.factor, dtype=torch.float64)
        rows = torch.cos(math.pi / self.factor * torch.outer(k, k + 0.5))
        return functional.normalize(rows, dim=1)

    def _of_blocks(
        self, images: Float[Tensor, "b c h w"], rows: Float[Tensor, "n n"]
    ) -> Float[Tensor, "b c h w"]:
        b, c, height, width = images.shape
        across = images.reshape(b, c, height, -1, self.factor) @ rows.mT
        down = rows @ across.reshape(b, c, -1, self.factor, width)
        return down.reshape(b, c, height, width)


@dataclass(frozen=True, eq=False)
class Separable:
    """A matrix along the height and another along the width, with their decompositions.

    ``down`` (m × n) takes columns of pixels to shorter ones, ``across`` rows. The singular
    values are all products of one of each.
    """

    down: Float64[Tensor, "m n"]
    across: Float64[Tensor, "m2 n2"]

    @cached_property
    def values(self) -> Float64[Tensor, "h w"]:
        """The products; below 10⁻⁴ of the greatest they are 0."""
        down, across = (
            functional.pad(values, (0, len(right) - len(values)))
            for (_, values, right) in self._decompositions
        )
        values = torch.outer(down, across)
        return values * (values >= _LEAST * values.max())

    def degrade(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Both matrices applied."""
        return self.down.to(images) @ images @ self.across.mT.to(images)

    def adjoint(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Both transposed matrices applied."""
        return self.down.mT.to(degraded) @ degraded @ self.across.to(degraded)

    def to_spectrum(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Coefficients of the products of right singular vectors."""
        (_, _, down), (_, _, across) = self._decompositions
        return down.to(images) @ images @ across.mT.to(images)

    def from_spectrum(self, spectra: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The sum of the products of right singular vectors with these coefficients."""
        (_, _, down), (_, _, across) = self._decompositions
        return down.mT.to(spectra) @ spectra @ across.to(spectra)

    def measured(self, degraded: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Coefficients of the products of left singular vectors, and 0 for the rest."""
        (down, _, rows), (across, _, columns) = self._decompositions
        seen = down.mT.to(degraded) @ degraded @ across.to(degraded)
        (height, width), (shown, broad) = (len(rows), len(columns)), seen.shape[2:]
        return functional.pad(seen, (0, width - broad, 0, height - shown))

    @cached_property
    def _decompositions(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """Of either matrix: U (m × k), k = min(m, n) singular values, and all of Vᵀ (n × n)."""
        found = []
        for matrix in (self.down, self.across):
            left, values, right = torch.linalg.svd(matrix, full_matrices=True)
            found.append((left[:, : len(values)], values, right))
        return tuple(found)
