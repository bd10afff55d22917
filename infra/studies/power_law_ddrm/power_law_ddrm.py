"""DDRM without a network: images drawn under a Gaussian prior with the spectrum of photographs.

The power of photographs falls as 1/f^γ with the frequency f, γ near 2 (Field 1987). Gaussian images
of that spectrum have a diffusion model in closed form, so DDRM (Kawar et al. 2022) can be run where
no trained one is at hand. It is a plug-in, which the study ``table1-offline.yaml`` names:

    pip install ./infra/studies/power_law_ddrm

`python power_law_ddrm.py FOLDER` measures the spectrum of the photographs in a folder.

Axes: b images, h and w their height and width. Images are RGB, on the scale [−1, 1] unless said
otherwise.
"""

import hashlib
import math
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torchvision.transforms.functional import center_crop, pil_to_tensor

from dot_kernels.ddrm import DdrmOptions
from dot_kernels.degradations import Degradation, Downscale, Noise
from dot_kernels.restorers import draw_by_ddrm

OPPONENT = ((1, 1, 1), (1, 0, -1), (1, -2, 1))
"""Brightness, red less blue, and magenta less green, which are hardly correlated in photographs."""

MEAN = (-0.068, -0.102, -0.268)
"""Of red, green and blue."""

POWER = ((4.92e-3, 2.24), (1.27e-5, 3.05), (6.65e-6, 2.83))
"""A and γ of A / f^γ for each of OPPONENT, f in cycles a pixel. Like MEAN of the central 128 × 128
pixels of the 200 training photographs of BSDS300, as the command above measures them."""


class PowerLaw:
    """An ε-model (``dot_kernels.ddrm.EpsilonModel``) of Gaussian images, in closed form.

    The cosine transform makes coefficients independent, but for what differs at the borders. The
    constant is taken to be of half the lowest frequency.
    """

    alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    """Of 1,000 steps of the linear schedule of Ho et al. 2020."""

    def __call__(self, noisy: Tensor, time: int) -> Tensor:
        """Return the mean of ε given √ᾱ x + √(1 − ᾱ) ε, both (b, 3, h, w)."""
        alpha = float(self.alphas_cumprod[time])
        mean = torch.tensor(MEAN).to(noisy)[:, None, None]
        spectra = spectrum_of(noisy - math.sqrt(alpha) * mean)
        power = prior_power(*noisy.shape[2:]).to(noisy)
        spectra *= math.sqrt(1 - alpha) / (alpha * power + (1 - alpha))
        return image_of(spectra)


class PowerLawDdrm:
    """The restorer: draws images that may have been reduced and got noise, one after the other.

    Args:
        device: as torch writes it.
        factor: of a bicubic downscaling; 1 where images were not reduced.
        sigma: standard deviation of the noise that came last, on the scale [0, 1].
        steps: of the diffusion.
        seed: another one draws other images.
    """

    def __init__(
        self,
        device: str,
        factor: Annotated[int, Field(ge=1, le=16)] = 1,
        sigma: Annotated[float, Field(ge=0)] = 0.0,
        steps: Annotated[int, Field(ge=1)] = 20,
        seed: int = 0,
    ) -> None:
        self._device, self._seed, self._options = device, seed, DdrmOptions(steps=steps)
        self._undone: list[Degradation] = [Downscale(factor=factor)] if factor > 1 else []
        self._undone += [Noise(sigma=sigma)] if sigma else []

    def __call__(self, images: Tensor) -> Tensor:
        """Return restored images of degraded ones, (b, 3, h, w) in [0, 1] but for their noise."""
        return draw_by_ddrm(
            images.to(self._device),
            self._undone,
            model=PowerLaw(),
            options=self._options,
            generators=[self._generator(image) for image in images],
        )

    def _generator(self, image: Tensor) -> torch.Generator:
        """Draws for an image the same in whatever batch, as its pixels seed it."""
        pixels = image.cpu().contiguous().numpy().tobytes()
        drawn = hashlib.sha256(self._seed.to_bytes(8, "little", signed=True) + pixels).digest()
        return torch.Generator().manual_seed(int.from_bytes(drawn[:8], "little", signed=True))


def spectrum_of(images: Tensor) -> Tensor:
    """Return the cosine transforms of the three opponent colours, (b, 3, h, w), orthonormal."""
    down, across = (_cosines(side).to(images) for side in images.shape[2:])
    return down @ torch.einsum("dc,bchw->bdhw", _colours().to(images), images) @ across.mT


def image_of(spectra: Tensor) -> Tensor:
    """Return the images with these spectra, (b, 3, h, w)."""
    down, across = (_cosines(side).to(spectra) for side in spectra.shape[2:])
    return torch.einsum("dc,bdhw->bchw", _colours().to(spectra), down.mT @ spectra @ across)


def prior_power(height: int, width: int) -> Tensor:
    """Return the variances of the coefficients of ``spectrum_of``, float64 (3, height, width)."""
    frequency = _frequencies(height, width)
    return torch.stack([scale / frequency**exponent for scale, exponent in POWER])


def _frequencies(height: int, width: int) -> Tensor:
    """Return cycles a pixel of each coefficient, float64 (height, width), nowhere 0."""
    down, across = (torch.arange(n, dtype=torch.float64) / (2 * n) for n in (height, width))
    frequency = torch.hypot(down[:, None], across)
    frequency[0, 0] = 0.25 / max(height, width)
    return frequency


def _cosines(side: int) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II) of a side of images, float64."""
    places = torch.arange(side, dtype=torch.float64)
    rows = torch.cos(math.pi / side * places[:, None] * (places + 0.5)) * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return rows


def _colours() -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(OPPONENT, dtype=torch.float64), dim=1)


def measured(folder: Path, side: int = 128) -> Iterator[str]:
    """Yield the mean of the photographs in a folder, and A and γ of each opponent colour.

    Lines are fitted to the logarithms of power and frequency, in thirteen bands of frequencies up
    to 0.5 cycles a pixel that are equally wide in logarithms.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    cut = [center_crop(pil_to_tensor(Image.open(file).convert("RGB")), [side]) for file in files]
    images = torch.stack(cut).double() / 127.5 - 1
    yield f"mean {[round(value, 3) for value in images.mean((0, 2, 3)).tolist()]}"
    power, frequency = spectrum_of(images).square().mean(0), _frequencies(side, side)
    edges = torch.logspace(math.log10(0.5 / side), math.log10(0.5), 14, dtype=torch.float64)
    edges[0] *= 0.999  # the lowest frequency is in; the constant, of half of it, is not
    bands = [(a <= frequency) & (frequency < b) for a, b in pairwise(edges)]
    bands = [band for band in bands if band.any()]
    x = torch.stack([frequency[band].log().mean() for band in bands])
    for one in power:
        y = torch.stack([one[band].mean().log() for band in bands])
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
        yield f"A {math.exp(float(y.mean()) - slope * float(x.mean())):.3g}, exponent {-slope:.3g}"


if __name__ == "__main__":
    for line in measured(Path(sys.argv[1])):
        print(line)
