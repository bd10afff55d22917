"""DDRM under a Gaussian prior with the spectrum of photographs, a plug-in of the studies."""

import importlib.util
import math
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import idctn
from torch.testing import assert_close

from dot_kernels.ddrm import EpsilonModel
from dot_kernels.degradations import Downscale, Noise, degrade


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "infra" / "studies" / "power_law_ddrm"


@pytest.fixture(scope="module")
def module(folder):
    spec = importlib.util.spec_from_file_location("power_law_ddrm", folder / "power_law_ddrm.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def drawn(module, count, height, width, seed=0):
    """Images of the prior, with the transform of another library."""
    rng = np.random.default_rng(seed)
    spread = module.prior_power(height, width).sqrt().numpy()
    fields = idctn(
        rng.standard_normal((count, 3, height, width)) * spread, axes=(2, 3), norm="ortho"
    )
    colours = np.array(module.OPPONENT) / np.linalg.norm(module.OPPONENT, axis=1, keepdims=True)
    images = np.einsum("dc,bdhw->bchw", colours, fields) + np.array(module.MEAN)[:, None, None]
    return torch.from_numpy(images)


def test_the_entry_point_is_the_restorer(folder, module):
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["dotpipe.restorers"] == {
        "power-law-ddrm": "power_law_ddrm:PowerLawDdrm"
    }
    assert module.PowerLawDdrm("cpu")


@pytest.mark.parametrize("time", [0, 300, 999])
def test_noise_is_predicted_as_the_posterior_of_a_gaussian_has_it(module, time):
    height, width = 4, 6
    size = 3 * height * width
    units = np.eye(size).reshape(size, 3, height, width)
    basis = idctn(units, axes=(2, 3), norm="ortho")
    colours = np.array(module.OPPONENT) / np.linalg.norm(module.OPPONENT, axis=1, keepdims=True)
    basis = np.einsum("dc,bdhw->bchw", colours, basis).reshape(size, size)
    covariance = basis.T @ np.diag(module.prior_power(height, width).flatten().numpy()) @ basis
    mean = np.repeat(module.MEAN, height * width)
    model = module.PowerLaw()
    assert isinstance(model, EpsilonModel)
    alpha = float(model.alphas_cumprod[time])
    noisy = np.random.default_rng(time).standard_normal(size)
    seen = alpha * covariance + (1 - alpha) * np.eye(size)
    epsilon = math.sqrt(1 - alpha) * np.linalg.solve(seen, noisy - math.sqrt(alpha) * mean)
    images = torch.from_numpy(noisy).reshape(1, 3, height, width)
    assert_close(model(images, time).flatten(), torch.from_numpy(epsilon))


def of_low_contrast(module, *size):
    """The same with a quarter of the contrast, so that hardly a pixel is clipped."""
    mean = torch.tensor(module.MEAN, dtype=torch.float64)[:, None, None]
    return mean + 0.25 * (drawn(module, *size) - mean)


@pytest.mark.parametrize(
    ("chain", "options", "off"),
    [
        ([Downscale(factor=4)], {"factor": 4}, 0.002),
        ([Downscale(factor=2), Noise(sigma=0.05)], {"factor": 2, "sigma": 0.05}, 0.06),
        ([Noise(sigma=0.1)], {"sigma": 0.1}, 0.12),
    ],
    ids=["x4", "x2 and noise", "noise"],
)
def test_what_it_draws_was_degraded_to_what_it_is_given(module, chain, options, off):
    clean = ((of_low_contrast(module, 3, 32, 48) + 1) / 2).float()
    degraded = torch.stack(
        [degrade(image, chain, torch.Generator().manual_seed(k)) for k, image in enumerate(clean)]
    )
    restore = module.PowerLawDdrm("cpu", **options)
    restored = restore(degraded)
    noiseless = [each for each in chain if not isinstance(each, Noise)]
    back = torch.stack([degrade(image, noiseless, torch.Generator()) for image in restored])
    assert (back - degraded).square().mean().sqrt() < off  # of its noise, or none
    again = torch.cat([restore(image[None]) for image in degraded])
    assert_close(restored, again, atol=1e-5, rtol=0)  # each by itself
    assert not torch.equal(restored, module.PowerLawDdrm("cpu", seed=1, **options)(degraded))


def test_it_takes_most_of_the_noise_away(module):
    clean = ((of_low_contrast(module, 3, 64, 64) + 1) / 2).float()
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    restored = module.PowerLawDdrm("cpu", sigma=0.1)(clean + noise)
    assert (restored - clean).square().mean() < 0.5 * noise.square().mean()


def test_the_spectrum_of_images_of_the_prior_is_measured_as_theirs(module, tmp_path):
    for number, image in enumerate(of_low_contrast(module, 60, 128, 128)):
        levels = ((image.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        Image.fromarray(levels).save(tmp_path / f"{number}.png")
    _, brightness, *_ = module.measured(tmp_path)
    scale, exponent = module.POWER[0]
    found = [float(part.split(" ")[-1]) for part in brightness.split(",")]
    assert found == pytest.approx([0.25**2 * scale, exponent], rel=0.15)
