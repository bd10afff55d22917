"""What shrinking an unpaired map of few images brings on photographs, and what two dials bring.

Photographs are the central 128 × 128 pixels of images/imagenet_samples, restored by CDnCNN (noise
50/255) or CRAFT (downscaled by 4); the latents are TAESD's. Scores are of images that no map was
fitted on: PSNR, LPIPS (squeeze), and FD-squeezenet against their ground truth.
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dot_kernels import (
    GaussianMoments,
    Transported,
    gelbrich_distance,
    patch_moments,
    solve_transport,
    transport_images,
)
from dot_kernels.degradations import Downscale, Noise, degrade
from dot_kernels.dials import LowBand, with_low_band
from dot_kernels.moments import merge
from dot_kernels.shrinkage import Shrinkage, shrink, split_half_shrinkage
from tasks.fit.statistics import FEW_IMAGES
from tasks.io.images.pixels import as_written, to_tensor
from tasks.io.networks.codecs import Autoencoder, load_codec
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.features.perceptual import load_lpips
from tasks.io.networks.restorers import SpandrelCheckpoint, load_restorer

SIDE, FITTED, HELD_BACK, RIDGE = 128, 80, 32, 1e-5


class Score(NamedTuple):
    psnr: float
    lpips: float
    fd: float

    def __str__(self):
        return f"{self.psnr:.2f} dB, LPIPS {self.lpips:.4f}, FD {self.fd:.1f}"


class Photographs:
    """Moments of the images to fit on, and those that are held back, with their scores."""

    def __init__(self, restored: Tensor, natural: Tensor, codec):
        self.codec = codec
        sides = (restored[:FITTED], natural[:FITTED])
        self.restored, self.natural = (
            [patch_moments(codec.encode(x), 3) for x in side.split(1)] for side in sides
        )
        self.held_back, truth = restored[FITTED:], natural[FITTED:]
        self.truth, self.distances = truth, load_lpips("squeeze", "cpu")(truth)
        self.extractor = load_extractor("squeezenet", "cpu")
        self.features = self._features(truth)

    def _features(self, images: Tensor) -> GaussianMoments:
        return GaussianMoments.of(self.extractor((images * 255).round().byte()).features)

    def moved(self, operator) -> Transported:
        return transport_images(self.held_back, self.codec, operator)

    def score(self, images: Tensor) -> Score:
        images = as_written(images)
        mse = (images - self.truth).square().mean(dim=(1, 2, 3))
        fd = gelbrich_distance(self._features(images), self.features)
        psnr, lpips = -10 * mse.log10().mean(), self.distances(images).mean()
        return Score(float(psnr), float(lpips), fd)


@pytest.fixture(scope="module", params=["noise", "upscale"])
def photographs(request, test_data):
    weights = test_data / "weights"
    paths = sorted((test_data / "images/imagenet_samples").glob("*.[jJ]*"))
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0)).tolist()
    images = [_centre(paths[i]) for i in order[: FITTED + HELD_BACK]]
    steps = [Noise(sigma=50 / 255)] if request.param == "noise" else [Downscale(factor=4)]
    name = "cdncnn_color_sigma50.safetensors" if request.param == "noise" else "craft_x4.pth"
    spec = SpandrelCheckpoint(kind="spandrel", checkpoint=str(weights / "restorers" / name))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setenv("TORCH_HOME", str(weights / "torch_home"))
        natural, draws = to_tensor(images), torch.Generator().manual_seed(1)
        network = load_restorer(spec, "cpu").descriptor
        restored = [
            as_written(network(degrade(x, steps, draws)[None]).clamp(0, 1)) for x in natural
        ]
        codec = Autoencoder(kind="autoencoder-tiny", weights=str(weights / "taesd"))
        found = Photographs(torch.cat(restored), natural, load_codec(codec, "cpu", "float32"))
        print(f"\n{request.param}: input {found.score(found.held_back)}")
        yield found


def _centre(path):
    image = Image.open(path).convert("RGB")
    left, top = ((side - SIDE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def test_shrunk_maps_are_nearer_to_the_map_of_all_pairs(photographs):
    whole = merge(photographs.restored), merge(photographs.natural)
    truth, covariance = solve_transport(*whole, ridge=RIDGE), whole[0].covariance()

    def wrong(matrix, offset):
        matrix = matrix - truth.matrix
        shift = matrix @ whole[0].mean + offset - truth.offset()
        return float((matrix @ covariance * matrix).sum() + shift.square().sum())

    nothing = wrong(torch.eye(truth.dimension).double(), torch.zeros(truth.dimension).double())
    print()
    for images, draws in ((4, 12), (10, 8), (20, 6), (40, 4)):
        errors = []
        for draw in range(draws):
            order = torch.randperm(FITTED, generator=torch.Generator().manual_seed(draw)).tolist()
            source = [photographs.restored[i] for i in order[:images]]
            target = [photographs.natural[i] for i in order[images : 2 * images]]
            sides = merge(source), merge(target)
            fitted = solve_transport(*sides, ridge=RIDGE)
            shrunk = shrink(fitted, *sides, split_half_shrinkage(source, target, ridge=RIDGE))
            errors.append([wrong(m.matrix, m.offset()) / nothing for m in (fitted, shrunk)])
        before, after = np.mean(errors, axis=0)
        print(f"{images} images: squared error {before:.2f} as fitted, {after:.2f} shrunk")
        assert after < before


@pytest.mark.parametrize(("images", "draws"), [(4, 3), (10, 3), (40, 1)])
def test_shrinking_gives_back_distortion_where_images_are_few(photographs, images, draws):
    rows = []
    for draw in range(draws):
        order = torch.randperm(FITTED, generator=torch.Generator().manual_seed(draw)).tolist()
        source = [photographs.restored[i] for i in order[:images]]
        target = [photographs.natural[i] for i in order[images : 2 * images]]
        sides = merge(source), merge(target)
        whole = solve_transport(*sides, ridge=RIDGE)
        amount = split_half_shrinkage(source, target, ridge=RIDGE)
        full = photographs.moved(whole)
        less = photographs.moved(shrink(whole, *sides, amount))
        mean = photographs.moved(shrink(whole, *sides, Shrinkage(0.0, amount.mean)))
        signals = full.at(0.0), full.at(0.5), mean.at(0.0), less.at(0.0)
        rows.append([amount, *map(photographs.score, signals)])
    amounts, *scores = zip(*rows, strict=True)
    print(f"\n{images} images: shrunk by", [tuple(round(t, 2) for t in each) for each in amounts])
    names = ("as fitted", "as fitted, alpha 0.5", "means alone shrunk", "shrunk")
    means = {name: Score(*np.mean(s, axis=0)) for name, s in zip(names, scores, strict=True)}
    for name, score in means.items():
        print(f"  {name}: {score}")
    assert means["shrunk"].psnr > means["as fitted"].psnr
    if images <= FEW_IMAGES:
        assert means["shrunk"].lpips < means["as fitted"].lpips


def test_two_dials_against_one(photographs):
    half = FITTED // 2
    sides = merge(photographs.restored[:half]), merge(photographs.natural[:half])
    one = photographs.moved(solve_transport(*sides, ridge=RIDGE))
    print()
    for alpha in (0.0, 0.15, 0.3, 0.5):
        print(f"  one dial, alpha {alpha:.2f}: {photographs.score(one.at(alpha))}")
    for sigma in (1.0, 2.0, 4.0):
        for share in (0.0, 0.5):
            two = with_low_band(one, LowBand(share=share, sigma=sigma))
            for alpha in (0.0, -0.2):
                print(f"  sigma {sigma:g}, share {share:g}, alpha {alpha:.2f}: ", end="")
                print(photographs.score(two.at(alpha)))
    assert photographs.score(with_low_band(one, LowBand(share=1.0, sigma=2.0)).at(0.0)) == (
        pytest.approx(photographs.score(one.at(0.0)), rel=1e-4)
    )
