"""Large pictures have the images and numbers that the pass over small ones gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional

from dot_kernels import (
    AutoencoderCodec,
    LevelledOperator,
    PixelCodec,
    RepeatedOperator,
    TiledCodec,
    fit_levels,
    patch_moments,
    solve_transport,
)
from dot_kernels.rounds import Between
from tasks.config.sections import Enhance
from tasks.enhance.curves.points import Curves
from tasks.enhance.features import no_moments
from tasks.enhance.pairs import NOT_FINITE, Gathered, Window
from tasks.enhance.perception import Networks
from tasks.enhance.rendering import Renderer
from tasks.io.images import Raster
from tasks.io.networks.batches import Batches
from tasks.io.networks.features.feature_networks import Extracted, Extractor
from tasks.io.shards import Member
from tasks.io.shards.loader import Picture
from tasks.io.workspace import CODEC, CODEC_INPUT, CURVE, INPUT, Signal, map_of
from tasks.jobs.stopwatch import Stopwatch, TimedCodec

HEIGHT, WIDTH = 61, 75
ALPHAS = (0.0, 0.5, 1.0)
SIGNALS = (*(Signal("enhanced", alpha) for alpha in ALPHAS), INPUT, CODEC, CODEC_INPUT)
LINES = (CURVE, *map_of([0.0, 0.5, 1.0]))
WHOLE, BANDS = 64, 8
"""Tiles by which the pictures are small, and large: in bands of 12 rows."""


class SquareDistance:
    """In place of LPIPS: the mean squared difference of images."""

    def __call__(self, references):
        return lambda images: (images - references).square().mean(dim=(1, 2, 3))

    def in_tiles(self, reference, images, size):
        rows = [range(top, min(top + 7, size[0])) for top in range(0, size[0], 7)]
        across = range(size[1])
        sums = [
            sum((read(down, across) - reference(down, across)).square().sum() for down in rows)
            for read in images
        ]
        return torch.stack(sums) / (3 * size[0] * size[1])


def means_of(images):
    return Extracted(images.float().mean(dim=(2, 3)), None)


@pytest.fixture
def picture(rng):
    """Draws a smooth image of a kind."""

    def draw(dtype=np.uint8, *, is_grey=False, alpha=False):
        coarse = torch.rand(1, 1 if is_grey else 3, 9, 11, generator=rng)
        smooth = functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)
        most = 1 if dtype == np.float32 else np.iinfo(dtype).max
        levels = (smooth[0].expand(3, -1, -1).movedim(0, -1) * most).numpy()
        plane = None
        if alpha:
            plane = np.full((HEIGHT, WIDTH), most, dtype)
            plane[:20, :30], plane[40:, 50:] = 0, most // 3
        pixels = levels.astype(dtype) if dtype == np.float32 else levels.round().astype(dtype)
        return Raster(pixels=np.ascontiguousarray(pixels), alpha=plane, is_grey=is_grey)

    return draw


@pytest.fixture
def operator(rng):
    """Maps patches of the pixel codec's latents; with noise if their source lacks directions."""

    def solve(*, is_stochastic=False):
        source, target = torch.randn(2, 1, 12, 40, 40, generator=rng)
        source = source * 0.2 + 0.5
        if is_stochastic:
            source[:, :3] = source[:, 3:6]
        return solve_transport(patch_moments(source, 1), patch_moments(target * 0.3 + 0.4, 1))

    return solve


def rendered(operator, restored, reference, tile, codec=None, **options):
    """What became of a picture, and the moments that were gathered."""
    watch, latent = Stopwatch(), options.get("interpolation") == "latent"
    moments = {
        signal: no_moments(operator.dimension) for signal in SIGNALS if signal != CODEC_INPUT
    }
    renderer = Renderer(
        codec=TimedCodec(TiledCodec(codec or PixelCodec(2), tile), watch),
        operator=operator,
        options=Enhance(alphas=ALPHAS, format="png", **options),
        fold="uniform",
        signals=SIGNALS,
        scored=frozenset(SIGNALS),
        batch=8,
        batches=Batches("enhance", "cpu"),
        networks=Networks(
            lpips=SquareDistance(), extractors={"features": Extractor(3, None, 8, means_of)}
        ),
        watch=watch,
        gathered=Gathered(moments=moments),
        curves=Curves(() if latent else LINES, (-0.5, 0.0, 0.7, 1.5), on_curve=True),
    )
    member = Member(**dict.fromkeys(Member.__annotations__, 0))
    member = member._replace(key="a", file="t/s.tar", width=WIDTH, height=HEIGHT)
    references = {} if reference is None else {"a": Picture(member, reference, None)}
    window = Window([Picture(member, restored, None)], references, {})
    (found,) = renderer.render(window, "no reference")
    return found, renderer.moments


def assert_same(ours, theirs):
    """Images have the same bits; sums over bands are those of the whole but for rounding."""
    (large, grown), (small, expected) = ours, theirs
    assert large.reason is None
    assert large.images.keys() == small.images.keys()
    for signal, pixels in small.images.items():
        assert large.images[signal].dtype == pixels.dtype
        np.testing.assert_array_equal(large.images[signal], pixels, err_msg=str(signal))
    assert large.unscored == small.unscored
    assert large.marks.keys() == small.marks.keys()
    for signal, marks in small.marks.items():
        assert large.marks[signal] == pytest.approx(marks, rel=1e-4), signal
    assert large.features.keys() == small.features.keys()
    for signal, seen in small.features.items():
        both = large.features[signal]["features"], seen["features"]
        torch.testing.assert_close(*(each.features for each in both))
    assert large.curve.keys() == small.curve.keys()
    for point, metrics in small.curve.items():
        assert large.curve[point] == pytest.approx(metrics, rel=1e-6), point
    for signal, groups in expected.items():
        for mine, whole in zip(grown[signal], groups, strict=True):
            assert mine.count == whole.count
            torch.testing.assert_close(mine.scatter, whole.scatter)


OPTIONS = [
    {"decoding": decoding, "interpolation": interpolation}
    for decoding in ("residual", "direct")
    for interpolation in ("image", "latent")
]
DIALS = {"low_share": 0.25, "low_sigma": 1.5}
OPTIONS += [{"decoding": decoding} | DIALS for decoding in ("residual", "direct")]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_large_picture_has_the_images_and_numbers_of_the_whole(picture, operator, options):
    solved, images = operator(), (picture(), picture())
    found = [rendered(solved, *images, tile, **options) for tile in (BANDS, WHOLE)]
    assert_same(*found)


@pytest.fixture
def levelled(rng):
    """An auto-encoder with random weights, and an operator with patches of several sizes."""
    torch.manual_seed(0)  # of so few channels, some draws let nothing through
    module = AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=3,
    )
    codec = AutoencoderCodec(module.double())  # so that no kernel's order of sums is seen
    clean, restored = codec.encode(torch.rand(2, 3, 64, 64, generator=rng)).split(1)
    latent = solve_transport(patch_moments(restored, 1), patch_moments(clean, 1))
    fits = [
        fit_levels(latent, [restored], [clean], codec, levels=[level], patch_size=size)
        for level, size in ((0, 3), (1, 1))
    ]
    return codec, LevelledOperator(latent, {**fits[0].levels, **fits[1].levels})


@pytest.mark.parametrize("options", OPTIONS)
def test_activations_of_a_large_picture_are_moved_as_those_of_the_whole(picture, levelled, options):
    (codec, operator), images = levelled, (picture(), picture(is_grey=True))
    found = [rendered(operator, *images, tile, codec, **options) for tile in (BANDS, WHOLE)]
    assert_same(*found)


@pytest.mark.parametrize(
    ("options", "is_grey"),
    [({}, False), ({"low_share": 0.3}, True), ({"decoding": "direct", "low_share": 1}, False)],
)
def test_rounds_over_a_large_picture_are_those_over_the_whole(picture, operator, options, is_grey):
    first, second = operator(), operator(is_stochastic=True)
    band = Enhance(**options).low_band
    between = Between(decoding=options.get("decoding", "residual"), low_band=band)
    twice = RepeatedOperator((first, second), between)
    images = picture(is_grey=is_grey), picture()
    found = [rendered(twice, *images, tile, **options) for tile in (BANDS, WHOLE)]
    assert_same(*found)
    restored, last = (found[0][0].images[Signal("enhanced", alpha)] for alpha in (1.0, 0.0))
    np.testing.assert_array_equal(restored, images[0].pixels)
    once = rendered(first, *images, BANDS, **options)[0]
    assert (last != once.images[Signal("enhanced", 0.0)]).any()


@pytest.mark.parametrize(
    "kind",
    [
        {"dtype": np.uint16},
        {"dtype": np.float32},
        {"is_grey": True},
        {"alpha": True},
        {"dtype": np.uint16, "is_grey": True, "alpha": True},
    ],
)
def test_depth_grey_and_alpha_are_kept_in_bands(picture, operator, kind):
    solved = operator()
    restored, reference = picture(**kind), replace(picture(**kind), alpha=None)
    found = [rendered(solved, restored, reference, tile) for tile in (BANDS, WHOLE)]
    assert_same(*found)


def test_the_noise_of_a_large_picture_is_that_of_the_whole(picture, operator):
    solved, images = operator(is_stochastic=True), (picture(), picture())
    assert solved.is_stochastic
    assert_same(*(rendered(solved, *images, tile) for tile in (BANDS, WHOLE)))


def test_a_large_picture_without_ground_truth_is_not_scored(picture, operator):
    solved, restored = operator(), picture()
    found = [rendered(solved, restored, None, tile) for tile in (BANDS, WHOLE)]
    assert_same(*found)
    assert found[0][0].unscored == "no reference"
    assert CODEC not in found[0][0].images


def test_a_large_picture_whose_latents_are_not_finite_is_refused_and_not_counted(picture, operator):
    class Broken(PixelCodec):
        def decode(self, latents):
            return super().decode(latents) / 0

    found, moments = rendered(operator(), picture(), picture(), BANDS, Broken(2))
    assert found.reason == NOT_FINITE
    assert all(each.count == 0 for groups in moments.values() for each in groups)


def test_the_images_of_a_large_picture_lie_on_disk(picture, operator):
    found, _ = rendered(operator(), picture(), picture(), BANDS)
    assert all(
        isinstance(pixels, np.memmap) for signal, pixels in found.images.items() if signal != INPUT
    )
