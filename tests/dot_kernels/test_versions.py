"""Numbers of each kind, under the version that gave them.

If this fails and the change was meant: raise the version of each kind that failed, so that no
stored result of the old code is taken for one of the new, and write the new numbers under it.
Each kind is computed from formulas or fixed numbers, so one that is left as it is does not fail
with another.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    LevelledOperator,
    PixelCodec,
    TransportOperator,
    enhance,
    gelbrich_distance,
    patch_moments,
    solve_transport,
)
from dot_kernels.ddrm import DdrmOptions
from dot_kernels.degradations import Downscale, Noise, degrade
from dot_kernels.diagnostics import variance_reached
from dot_kernels.enhancement import encode_padded
from dot_kernels.level_fitting import level_activations, level_moments, solve_level
from dot_kernels.metrics import (
    ClassSums,
    FeatureStatistics,
    extrapolated_frechet_distance,
    frechet_distance,
    inception_score,
    kernel_distance,
    mean_squared_error,
    mean_squared_error_along,
    peak_signal_to_noise_ratio,
    precision_recall,
    structural_similarity,
    structural_similarity_along,
)
from dot_kernels.moments import merge
from dot_kernels.patch_prior import PatchPriorOptions
from dot_kernels.restorers import bicubic, draw_by_ddrm, restore_by_patch_prior
from dot_kernels.shrinkage import shrink, split_half_shrinkage
from dot_kernels.spd import spectrum
from dot_kernels.staged_codecs import DecoderInStages
from dot_kernels.stages import Stage, through
from dot_kernels.uncertainty import distance_standard_error, map_standard_error
from tasks.io.images import Raster
from tasks.io.images.pixels import to_tensor
from tasks.io.images.transparency import opacity, over_white, shown_cells, without_hidden
from tasks.io.ledger.versions import VERSIONS
from tasks.io.networks.residual_transport.section import Training
from tasks.train.batches import Batch
from tasks.train.learner import Learner
from tests.support.networks.small_autoencoders import small

GOLDEN = {
    "pixels": {
        1: {
            "deep": [0.488909, 0.148653, 0.499992, 0.499992],
            "filled": [0.489294, 0.148349, 0.499992, 0.499992],
            "on white": [0.78072, 0.152027, 0.602184, 0.602184],
            "cells": [6.0],
        }
    },
    "degradation": {
        3: {
            "degraded": [0.496342, 0.0693654, 0.607836, 0.471252],
            "restored": [0.496327, 0.0583688, 0.628555, 0.462013],
            "drawn": [0.496504, 0.268901, 0.40708, 0.554192],
            "by patches": [0.491592, 0.0735133, 0.672261, 0.534692],
        }
    },
    "training": {
        1: {
            "losses": [1.04557, 0.0, 2.74737, 7.71209e-06],
            "averages": [0.122206, 0.181475, -0.100436, -0.0426244],
        }
    },
    "codec": {
        2: {
            "latents": [0.495896, 0.148335, 0.5, 0.5],
            "images": [0.26791, 0.148989, 0.25, 0.25],
            "AutoencoderTiny": [
                0.359057,
                0.4907,
                0.0,
                0.191776,
                0.230867,
                0.281024,
                0.0,
                0.329727,
                0.189856,
                0.256751,
                0.0,
                0.142269,
            ],
            "AutoencoderKL": [
                1.09529,
                1.28877,
                -0.332858,
                1.5283,
                1.2377,
                1.48747,
                -1.68425,
                0.325649,
                1.95016,
                2.08516,
                -1.46465,
                1.86965,
            ],
        }
    },
    "moments": {
        2: {
            "mean": [0.485599, 0.0183274, 0.497037, 0.501543],
            "scatter": [1.62145, 3.48797, 0.130718, 0.0799731],
            "of a level": [
                30.0,
                0.0138771,
                0.0168175,
                0.013287,
                -0.00342905,
                0.227513,
                0.291783,
                0.144922,
                -0.0761029,
            ],
        }
    },
    "operator": {
        2: {
            "matrix": [0.111899, 0.284233, 0.000603327, -0.00549057],
            "diagnostics": [1e-05, 5.79077, 0.126786],
            "stochastic matrix": [0.0935045, 0.243447, 0.0055708, -0.143849],
            "noise covariance": [0.0156874, 0.0710901, 0.0, 0.0],
            "standard error": [1.81033],
            "shrunk": [
                0.133877,
                0.190195,
                0.418976,
                0.505054,
                0.106799,
                0.0345219,
                0.318841,
                0.0232193,
                0.303997,
                0.345599,
            ],
            "of a level": [
                0.0935042,
                0.243447,
                0.00557073,
                -0.143847,
                0.0633175,
                0.06231,
                0.0805343,
                0.0186333,
            ],
        }
    },
    "transport": {
        2: {
            "residual": [0.342758, 0.153046, 0.846067, 0.377487],
            "latent": [0.208767, 0.22967, 0.0, 0.924353],
            "levels": [0.596741, 0.263445, 0.539053, 0.85573],
            "levels in part": [0.595579, 0.267641, 0.539053, 0.859875],
        }
    },
    "distortion": {
        2: {
            "of images": [0.00125185, 29.0245, 0.96254],
            "along the curve": [8.34996e-05, 0.00125052, 0.997417, 0.963942],
        }
    },
    "class sums": {
        2: {
            "probabilities": [0.8, 0.596692, 0.657912, 0.664485],
            "entropies": [5.75331, 4.01512, -8.61083, -7.28818],
        }
    },
    "gelbrich": {
        2: {
            "distance": [0.126786, 0.00364529],
            "reached": [1.0293, 0.127752, 1.00167, 0.898218],
        }
    },
    "fidelity": {
        2: {
            "frechet": [0.0105872, 0.00451606, 0.0040254],
            "kernel": [-0.0708759, 0.108443],
            "inception score": [5.27356, 0.460391],
            "precision and recall": [0.9875, 0.0237537, 0.925, 0.0287168],
        }
    },
}

ELSEWHERE = {"perception"}
"""Kinds that networks compute; weights that no test has are needed for their numbers."""


def waves(height, width, shift=0.0):
    """A colour image from a formula."""
    rows, columns = torch.arange(height).double()[:, None] + shift, torch.arange(width).double()
    planes = [(k * rows + columns**1.5).sin() * (rows - columns / k).cos() for k in (1, 2, 3)]
    return torch.stack(planes).float() * 0.3 + 0.5


def vectors(count, dimension, shift=0.0):
    """Vectors (count, dimension) from a formula, as wild as random ones."""
    numbers = torch.arange(count * dimension).double().unflatten(0, (count, dimension)) + 1
    return ((numbers**1.7 + shift).sin() + shift / 5).float()


def moments(shift=0.0, flat=0):
    """Moments of vectors of 12, the last few of whose directions are empty."""
    x = vectors(60, 12, shift).double()
    x[:, 12 - flat :] = 0.25
    mean = x.mean(dim=0)
    return GaussianMoments(len(x), mean, (x - mean).mT @ (x - mean))


def digest(numbers):
    """Mean size, spread and two single values."""
    flat = numbers.double().flatten()
    third = flat[len(flat) // 3], flat[2 * len(flat) // 3]
    return [x.item() for x in (flat.abs().mean(), flat.std(), *third)]


class Shrinking:
    """An ε-model that takes a fixed share of every image for noise."""

    alphas_cumprod = torch.linspace(0.99, 0.1, 8, dtype=torch.float64)

    def __call__(self, noisy, time):
        return 0.7 * noisy


class InStages(DecoderInStages):
    """A codec of two levels whose layers are formulas: latents are the images."""

    factor, channels = 1, 3

    def _own_stages(self):
        return (
            Stage(apply=lambda latents: (2 * latents).sin(), channels=3),
            Stage(apply=_enlarged, channels=3, upsampling=2),
            Stage(apply=lambda shown: functional.avg_pool2d(shown, 2), channels=3),
        )

    def encode(self, images):
        return images

    def decode(self, latents):
        return through(self.stages, latents)

    def activations(self, latents, count):
        yield from through(self.stages[:count], latents).split(5, dim=2)


def _enlarged(shown):
    """Twice the size, each colour without a third of all three."""
    large = shown.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return large.roll(1, 3) - large.mean(1, keepdim=True)


def pixels():
    levels = (waves(16, 20).movedim(0, -1) * 65535).numpy().astype(np.uint16)
    alpha = (waves(16, 20, 0.7)[0] * 131070 - 65535 / 2).clamp(0, 65535).numpy().astype(np.uint16)
    raster = Raster(pixels=levels, alpha=alpha)
    images, shown = to_tensor([without_hidden(raster)]), opacity([raster])
    return {
        "deep": digest(to_tensor([levels])),
        "filled": digest(images),
        "on white": digest(over_white(images, shown)),
        "cells": [int(shown_cells(shown, 2).sum())],
    }


def degradation():
    steps = [Downscale(factor=2), Noise(sigma=0.05)]
    degraded = degrade(waves(32, 36), steps, torch.Generator().manual_seed(0))
    drawn = draw_by_ddrm(
        degraded[None],
        steps,
        model=Shrinking(),
        options=DdrmOptions(steps=4),
        generators=[torch.Generator().manual_seed(1)],
    )
    return {
        "degraded": digest(degraded),
        "restored": digest(bicubic(degraded, steps)),
        "drawn": digest(drawn),
        "by patches": digest(by_patches(degraded, steps)),
    }


def by_patches(degraded, steps):
    """A few steps of a descent: more would magnify the last digits."""
    return restore_by_patch_prior(
        degraded.double(),
        steps,
        reference=waves(20, 24).double().flip(1),
        options=PatchPriorOptions(steps=4),
        generator=torch.Generator().manual_seed(2),
    )


def codec():
    latents = encode_padded(waves(31, 35)[None], PixelCodec(2))
    images = PixelCodec(2).decode(latents**2)
    shown = {name: activations_of(name) for name in ("AutoencoderTiny", "AutoencoderKL")}
    return {"latents": digest(latents), "images": digest(images), **shown}


def activations_of(name):
    """What the levels of a network show whose weights are from a formula."""
    module = small(name).double()
    for parameter in module.parameters():
        numbers = torch.arange(parameter.numel()).double() + 1
        spread = parameter.shape[1:].numel() ** -0.5 if parameter.ndim > 1 else 0.5
        parameter.data = ((numbers**1.7).sin() * spread).view_as(parameter)
    network = AutoencoderCodec(module)
    latents = vectors(network.channels, 4 * 5).view(1, -1, 4, 5)
    levels = range(len(network.stages) - 1)
    return [x for level in levels for x in digest(level_activations(latents, network, level))]


def of_moments():
    left, right = (patch_moments(waves(16, 18, shift)[None], 2) for shift in (0.0, 0.3))
    shown = waves(12, 14, 0.2)[:1] < 0.9
    (level,) = level_moments(waves(8, 8)[None], InStages(), 1, 2, size=(6, 7), shown=shown)
    return {
        "mean": digest((left + right).mean),
        "scatter": digest((left + right).scatter),
        "of a level": [level.count, *digest(level.mean), *digest(level.scatter)],
    }


def operator():
    source, target = moments(), moments(0.3)
    plain = solve_transport(source, target)
    stochastic = solve_transport(moments(flat=4), target, ridge=0.0)
    told = plain.diagnostics
    images = [[GaussianMoments.of(vectors(60, 3, s + i)) for i in range(4)] for s in (0, 0.3)]
    mixing = torch.tensor([[1.3, 0.2, 0.0], [0.0, 0.8, 0.4], [0.1, 0.0, 1.1]])
    alike = [
        [GaussianMoments.of(vectors(60, 3, i) @ mixed + shift) for i in range(4)]
        for mixed, shift in ((torch.eye(3), 0.0), (mixing, 0.4))
    ]
    amount = split_half_shrinkage(*alike, ridge=1e-5)
    shrunk = shrink(solve_transport(*map(merge, alike)), *map(merge, alike), amount)
    level = solve_level(moments(flat=4), target)
    return {
        "matrix": digest(plain.matrix),
        "diagnostics": [told.ridge, told.source_condition, told.gelbrich_before],
        "stochastic matrix": digest(stochastic.matrix),
        "noise covariance": digest(stochastic.noise_covariance),
        "standard error": [map_standard_error(*images, ridge=1e-5)],
        "shrunk": [*amount, *digest(shrunk.matrix), *digest(shrunk.offset())],
        "of a level": [*digest(level.matrix), *digest(level.offset())],
    }


def transport():
    square = vectors(12, 12).double() / 3
    told = solve_transport(moments(), moments(0.3)).diagnostics  # changes no image
    means = vectors(2, 12, 0.5).double() / 4
    matrix = square @ square.mT / 4 + torch.eye(12) / 2
    plain = TransportOperator(matrix, means[0], means[1], None, told)
    stochastic = TransportOperator(square, means[0], means[1], matrix / 9, told)
    images = waves(32, 36)[None]
    latent = enhance(
        images,
        PixelCodec(1),
        stochastic,
        [0.25],
        decoding="direct",
        interpolation="latent",
        fold="gaussian",
        generators=[torch.Generator().manual_seed(2)],
    )
    residual = enhance(images, PixelCodec(1), plain, [0.0, 0.5])
    with_levels, in_part = (
        enhance(images, InStages(), levelled(), [0.0, 0.3], interpolation=way)
        for way in ("image", "latent")
    )
    return {
        "residual": digest(residual),
        "latent": digest(latent),
        "levels": digest(with_levels),
        "levels in part": digest(in_part),
    }


def levelled():
    """An operator of latents and two levels, of which one has patches of 2 × 2."""
    told = solve_transport(moments(), moments(0.3)).diagnostics  # changes no image
    parts = []
    for dimension in (3, 3, 12):
        square = vectors(dimension, dimension, 0.1 * len(parts)).double() / dimension
        means = vectors(2, dimension, 0.5 + len(parts)).double() / 4
        parts.append(TransportOperator(square + torch.eye(dimension) / 2, *means, None, told))
    return LevelledOperator(parts[0], dict(enumerate(parts[1:])))


def training():
    options = Training(steps=2, segment=2, batch=2, crop=16, width=4, map_steps=1, rate=1e-3)
    learner = Learner(options, "cpu", is_paired=True)
    clean = torch.stack([waves(16, 16), waves(16, 16, 0.4)])
    batch = Batch(clean + 0.2 * waves(16, 16, 0.7), clean)
    losses = [loss for number in range(2) for loss in learner.step(number, batch)]
    averages = torch.cat([weights.flatten() for weights in learner.average.parameters()])
    return {"losses": losses, "averages": digest(averages)}


def distortion():
    image, other = waves(24, 28), waves(24, 28, 0.1)
    mse = mean_squared_error(image.double(), other.double())
    line = image[None], (other - image)[None], waves(24, 28, 0.05)[None]
    return {
        "of images": [
            mse,
            peak_signal_to_noise_ratio(mse),
            structural_similarity(image.double(), other.double()),
        ],
        "along the curve": [
            *mean_squared_error_along(*line, [0.25, 1.5]).flatten().tolist(),
            *structural_similarity_along(*line, [0.25, 1.5]).flatten().tolist(),
        ],
    }


def class_sums():
    sums = ClassSums.of(vectors(40, 5), torch.arange(40) % 7)
    return {
        "probabilities": digest(sums.probabilities),
        "entropies": digest(sums.negative_entropies),
    }


def gelbrich():
    left, right = moments(), moments(0.3)
    groups = [[GaussianMoments.of(vectors(20, 4, s + i)) for i in range(10)] for s in (0, 0.3)]
    reached = variance_reached(left.covariance(), spectrum(right.covariance()))
    return {
        "distance": [gelbrich_distance(left, right), distance_standard_error(*groups)],
        "reached": digest(reached),
    }


def fidelity():
    draws = torch.arange(80)
    a, b = (FeatureStatistics.of(vectors(80, 3, s), draws, capacity=80) for s in (0.0, 0.3))
    distance, score = (
        frechet_distance(a, b),
        inception_score(
            ClassSums(
                torch.full((10,), 4),
                *(vectors(10, n).double().abs() + 1 for n in (5,)),
                -vectors(1, 10).double()[0].abs(),
            )
        ),
    )
    found = precision_recall(a, b)
    return {
        "frechet": [distance.value, distance.error, extrapolated_frechet_distance(a, b)],
        "kernel": list(kernel_distance(a.features, b.features, subset_size=20)),
        "inception score": list(score),
        "precision and recall": [*found.precision, *found.recall],
    }


KINDS = {
    "pixels": pixels,
    "degradation": degradation,
    "training": training,
    "codec": codec,
    "moments": of_moments,
    "operator": operator,
    "transport": transport,
    "distortion": distortion,
    "class sums": class_sums,
    "gelbrich": gelbrich,
    "fidelity": fidelity,
}


def test_every_kind_of_numbers_has_golden_ones():
    assert KINDS.keys() == VERSIONS.keys() - ELSEWHERE == GOLDEN.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_move_only_with_their_version(kind):
    golden, numbers = GOLDEN[kind][VERSIONS[kind]], KINDS[kind]()
    assert numbers.keys() == golden.keys()
    for name, values in numbers.items():
        # six digits are written down; other machines round float32 elsewhere
        assert values == pytest.approx(golden[name], rel=1e-4, abs=1e-6), name
