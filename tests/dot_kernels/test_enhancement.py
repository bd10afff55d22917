from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import (
    PixelCodec,
    enhance,
    patch_moments,
    solve_transport,
    transport_images,
    transport_latents,
)
from dot_kernels.enhancement import encode_padded, whole_cells
from dot_kernels.metrics import (
    mean_squared_error,
    mean_squared_error_along,
    structural_similarity,
    structural_similarity_along,
)
from dot_kernels.padding import pad_by_reflection

ALPHAS = [-0.5, 0.0, 0.3, 1.0, 1.5]
DECODINGS = ["residual", "direct"]
INTERPOLATIONS = ["image", "latent"]


@dataclass
class MeanCodec:
    """A lossy codec: a latent pixel is the mean of its cell. Counts its decodings."""

    factor: int = 8
    channels: int = 3
    decoded: list[int] = field(default_factory=list)

    def encode(self, images):
        return functional.avg_pool2d(images, self.factor)

    def decode(self, latents):
        self.decoded.append(len(latents))
        return functional.interpolate(latents, scale_factor=self.factor, mode="nearest")


@pytest.fixture
def draw_images(rng):
    """Draws images around middle grey, far enough from black and white not to be clipped."""
    return lambda *shape: 0.4 + 0.2 * torch.rand(*shape, generator=rng)


@pytest.fixture
def fit(rng, draw_images):
    """Fits a mild map, so that no enhanced value leaves [0, 1]."""

    def solve(codec, size, *, ridge=1e-5, flat=False):
        restored = draw_images(2, 3, 20 * codec.factor, 20 * codec.factor)
        natural = (restored - 0.5) * 1.2 + 0.52
        natural = natural + 0.02 * torch.randn(natural.shape, generator=rng)
        source = patch_moments(codec.encode(restored), size)
        if flat:  # a plane: the last directions of the patches are empty
            kept = torch.ones(source.dimension).double()
            kept[1:] = 0
            source = replace(source, scatter=source.scatter * torch.outer(kept, kept))
        return solve_transport(source, patch_moments(codec.encode(natural), size), ridge=ridge)

    return solve


@pytest.fixture
def stochastic(fit):
    """A map with noise, for single pixels of the mean codec."""
    operator = fit(MeanCodec(), 1, ridge=0.0, flat=True)
    assert operator.is_stochastic
    return operator


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def is_unclipped(images):
    return images.min() > 0 and images.max() < 1


# What alpha does


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_residual_decoding_at_alpha_one_is_the_input_bit_for_bit(draw_images, fit, interpolation):
    images = draw_images(2, 3, 29, 37)
    (enhanced,) = enhance(
        images, MeanCodec(), fit(MeanCodec(), 3), [1.0], interpolation=interpolation
    )
    assert torch.equal(enhanced, images)


def test_direct_decoding_at_alpha_one_is_the_input_bit_for_bit(draw_images, fit):
    images = draw_images(2, 3, 29, 37)
    (enhanced,) = enhance(images, MeanCodec(), fit(MeanCodec(), 3), [1.0], decoding="direct")
    assert torch.equal(enhanced, images)


@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_image_interpolation_is_the_formula_of_its_decoding(draw_images, fit, alpha, fold):
    codec, operator, images = MeanCodec(), fit(MeanCodec(), 3), draw_images(2, 3, 32, 40)
    latents = codec.encode(images)
    mapped = codec.decode(transport_latents(latents, operator, fold=fold))  # D(T(E x))
    formulas = {
        "direct": (1 - alpha) * mapped + alpha * images,
        "residual": images + (1 - alpha) * (mapped - codec.decode(latents)),
    }
    for decoding, expected in formulas.items():
        assert is_unclipped(expected)
        (enhanced,) = enhance(images, codec, operator, [alpha], decoding=decoding, fold=fold)
        assert_close(enhanced, expected)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_latent_interpolation_is_the_formula_of_its_decoding(draw_images, fit, alpha):
    codec, operator, images = MeanCodec(), fit(MeanCodec(), 3), draw_images(2, 3, 32, 40)
    latents = codec.encode(images)
    mapped = (1 - alpha) * transport_latents(latents, operator) + alpha * latents
    formulas = {
        "direct": codec.decode(mapped),
        "residual": images + codec.decode(mapped) - codec.decode(latents),
    }
    for decoding, expected in formulas.items():
        assert is_unclipped(expected)
        (enhanced,) = enhance(
            images, codec, operator, [alpha], decoding=decoding, interpolation="latent"
        )
        assert_close(enhanced, expected)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_both_interpolations_agree_at_alpha_zero(draw_images, stochastic, decoding):
    images = draw_images(2, 3, 20, 33)
    first, second = (
        enhance(
            images,
            MeanCodec(),
            stochastic,
            [0.0],
            decoding=decoding,
            interpolation=interpolation,
            generators=generators(4, 5),
        )
        for interpolation in INTERPOLATIONS
    )
    assert_close(first, second)


def test_the_pixel_codec_makes_all_modes_agree_before_clipping(draw_images, fit):
    codec, images = PixelCodec(2), draw_images(2, 3, 21, 30)
    operator = fit(codec, 3)
    results = [
        enhance(images, codec, operator, ALPHAS, decoding=decoding, interpolation=interpolation)
        for decoding in DECODINGS
        for interpolation in INTERPOLATIONS
    ]
    assert is_unclipped(results[0])
    for other in results[1:]:
        assert_close(other, results[0])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_noise_shrinks_with_the_transport_in_latent_interpolation(draw_images, stochastic, alpha):
    images = draw_images(1, 3, 16, 24)
    silent = replace(stochastic, noise_covariance=None)
    at_alpha, at_zero = (
        enhance(
            images,
            MeanCodec(),
            stochastic,
            [value],
            interpolation="latent",
            generators=generators(6),
        )
        - enhance(images, MeanCodec(), silent, [value], interpolation="latent")
        for value in (alpha, 0.0)
    )
    assert at_zero.std() > 1e-3
    assert_close(at_alpha, (1 - alpha) * at_zero)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_enhanced_images_stay_between_black_and_white(draw_images, fit, decoding, interpolation):
    stark = replace(fit(MeanCodec(), 1), matrix=100 * torch.eye(3).double())
    images = draw_images(1, 3, 32, 32)
    enhanced = enhance(
        images, MeanCodec(), stark, [-1.0, 0.0, 0.5], decoding=decoding, interpolation=interpolation
    )
    assert (enhanced.amin(), enhanced.amax()) == (0, 1)


@pytest.mark.parametrize(
    ("decoding", "interpolation", "decodings"),
    [
        ("direct", "image", 1),
        ("residual", "image", 2),
        ("direct", "latent", 4),
        ("residual", "latent", 1 + 3),
    ],
)
def test_images_are_decoded_no_more_often_than_alpha_needs(
    draw_images, fit, decoding, interpolation, decodings
):
    codec = MeanCodec()
    enhance(
        draw_images(1, 3, 16, 16),
        codec,
        fit(MeanCodec(), 1),
        [0.0, 0.25, 0.5, 1.0],  # residual decoding need not decode for the last one
        decoding=decoding,
        interpolation=interpolation,
    )
    assert len(codec.decoded) == decodings


def test_both_sides_of_the_transport_are_there_to_be_looked_at(draw_images, fit):
    operator, images = fit(MeanCodec(), 3), draw_images(1, 3, 32, 32)
    seen = transport_images(images, MeanCodec(), operator)
    assert torch.equal(seen.images, images)
    assert_close(seen.latents, MeanCodec().encode(images))
    assert_close(seen.mapped_latents, transport_latents(seen.latents, operator))
    assert_close(seen.codec_images, MeanCodec().decode(seen.latents))
    assert_close(seen.mapped_images, MeanCodec().decode(seen.mapped_latents))


# The line of the alphas


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_images_at_an_alpha_lie_on_the_line_where_nothing_is_clipped(
    draw_images, fit, decoding, alpha
):
    images = draw_images(2, 3, 29, 37)
    transported = transport_images(images, MeanCodec(), fit(MeanCodec(), 3), decoding=decoding)
    on_the_line = images + (1 - alpha) * transported.direction()
    assert is_unclipped(on_the_line)
    assert_close(transported.at(alpha), on_the_line)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("alpha", [-30.0, 30.0])
def test_the_images_at_an_alpha_are_the_line_clipped(draw_images, fit, decoding, alpha):
    images = draw_images(2, 3, 24, 32)
    transported = transport_images(images, MeanCodec(), fit(MeanCodec(), 3), decoding=decoding)
    on_the_line = images + (1 - alpha) * transported.direction()
    assert not is_unclipped(on_the_line)
    # thirty directions of float32 rounding
    assert_close(transported.at(alpha), on_the_line.clamp(0, 1), rtol=0, atol=1e-5)


def test_the_line_leads_from_the_codecs_image_or_from_the_image_itself(draw_images, fit):
    images, operator = draw_images(1, 3, 21, 18), fit(MeanCodec(), 3)
    residual, direct = (
        transport_images(images, MeanCodec(), operator, decoding=decoding) for decoding in DECODINGS
    )
    assert_close(residual.direction(), residual.mapped_images - residual.codec_images)
    assert_close(direct.direction(), direct.mapped_images - images)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_alphas_of_latent_interpolation_lie_on_no_line(draw_images, fit, decoding):
    transported = transport_images(
        draw_images(1, 3, 16, 16),
        MeanCodec(),
        fit(MeanCodec(), 1),
        decoding=decoding,
        interpolation="latent",
    )
    assert transported.direction() is None


@pytest.mark.parametrize("decoding", DECODINGS)
def test_distortion_along_the_line_is_that_of_the_enhanced_images(draw_images, fit, decoding):
    images, references = draw_images(2, 3, 24, 32), draw_images(2, 3, 24, 32)
    transported = transport_images(images, MeanCodec(), fit(MeanCodec(), 3), decoding=decoding)
    line = images, transported.direction(), references
    points = [1 - alpha for alpha in ALPHAS]
    errors = mean_squared_error_along(*line, points)
    similar = structural_similarity_along(*line, points)
    for row, alpha in enumerate(ALPHAS):
        enhanced = transported.at(alpha)
        assert is_unclipped(enhanced)
        written = [(each * 255).round() / 255 for each in (enhanced, references)]
        for index, pair in enumerate(zip(*written, strict=True)):
            # a few pixels may be rounded the other way
            assert float(errors[row, index]) == pytest.approx(mean_squared_error(*pair), rel=1e-5)
            expected = structural_similarity(*pair)
            assert float(similar[row, index]) == pytest.approx(expected, abs=1e-6)


# Batches and generators


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_batch_is_enhanced_as_its_images_one_by_one(
    draw_images, stochastic, decoding, interpolation
):
    images = draw_images(3, 3, 21, 18)
    modes = {"decoding": decoding, "interpolation": interpolation}
    together = enhance(
        images, MeanCodec(), stochastic, ALPHAS, generators=generators(0, 1, 2), **modes
    )
    assert together.shape == (len(ALPHAS), *images.shape)
    for seed, image in enumerate(images):
        alone = enhance(
            image[None], MeanCodec(), stochastic, ALPHAS, generators=generators(seed), **modes
        )
        assert_close(alone[:, 0], together[:, seed])


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
def test_enhancing_is_transporting_and_asking_for_every_alpha(
    draw_images, fit, decoding, interpolation, fold
):
    images, operator = draw_images(2, 3, 30, 41), fit(MeanCodec(), 3)
    modes = {"decoding": decoding, "interpolation": interpolation, "fold": fold}
    enhanced = enhance(images, MeanCodec(), operator, ALPHAS, **modes)
    transported = transport_images(images, MeanCodec(), operator, **modes)
    for index, alpha in enumerate(ALPHAS):
        assert torch.equal(enhanced[index], transported.at(alpha))


# Images of any size


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 30), (8, 8), (8, 9), (13, 40), (24, 24), (25, 47)]
)
def test_an_image_of_any_size_is_padded_transported_and_cropped(draw_images, fit, height, width):
    codec, operator = MeanCodec(8), fit(MeanCodec(8), 3)
    images = draw_images(2, 3, height, width)
    rows, columns = (8 * max(3, -(-side // 8)) - side for side in (height, width))
    padded = np.pad(images, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="reflect")
    mapped = codec.decode(transport_latents(codec.encode(torch.from_numpy(padded)), operator))
    (enhanced,) = enhance(images, codec, operator, [0.0], decoding="direct")
    assert_close(enhanced, mapped[:, :, :height, :width])


def test_an_image_of_eight_pixels_is_one_cell_of_the_pixel_codec(draw_images, fit):
    codec, images = PixelCodec(8), draw_images(1, 3, 8, 8)
    operator = fit(codec, 1)
    (enhanced,) = enhance(images, codec, operator, [0.0])
    cell = images.double().flatten() - operator.source_mean
    expected = operator.matrix @ cell + operator.target_mean
    assert_close(enhanced.flatten(), expected.float())


@pytest.mark.parametrize("length", [1, 2, 3, 8])
@pytest.mark.parametrize("wanted", [8, 9, 24])
def test_padding_is_the_reflection_of_numpy_as_often_as_needed(rng, length, wanted):
    images = torch.rand(1, 3, length, 5, generator=rng)
    expected = np.pad(images, ((0, 0), (0, 0), (0, wanted - length), (0, 6)), mode="reflect")
    assert np.array_equal(pad_by_reflection(images, wanted, 11), expected)


def test_an_image_that_needs_no_padding_is_not_copied(draw_images):
    images = draw_images(1, 3, 16, 24)
    assert pad_by_reflection(images, 16, 24) is images


@pytest.mark.parametrize(
    ("height", "width", "cells"),
    [(8, 8, (1, 1)), (7, 9, (0, 1)), (13, 40, (1, 5)), (31, 32, (3, 4))],
)
def test_padding_stays_out_of_whole_cells(draw_images, fit, height, width, cells):
    images = draw_images(2, 3, height, width)
    transported = transport_images(images, MeanCodec(8), fit(MeanCodec(8), 3))
    inside = whole_cells(transported.latents, images.shape[2:], 8)
    assert inside.shape == (2, 3, *cells)
    cut = images[:, :, : 8 * cells[0], : 8 * cells[1]]
    expected = cut.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean(dim=(3, 5))
    assert_close(inside, expected)
    assert_close(whole_cells(encode_padded(images, MeanCodec(8)), images.shape[2:], 8), expected)


# Refusals


def test_an_enhancement_without_alphas_is_refused(draw_images, fit):
    with pytest.raises(ValueError, match="alphas must hold at least one number, got none"):
        enhance(draw_images(1, 3, 8, 8), MeanCodec(), fit(MeanCodec(), 1), [])


@dataclass
class BrokenCodec(MeanCodec):
    """Decodes the brighter of two latents into one value, as a network that overflows."""

    value: float = float("nan")

    def decode(self, latents):
        decoded = super().decode(latents)
        return torch.where(decoded < 0.55, decoded, self.value)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_output_that_is_not_finite_is_refused(fit, decoding, interpolation, value):
    brightening = replace(fit(MeanCodec(), 1), target_mean=torch.full((3,), 0.6).double())
    with pytest.raises(ValueError, match="enhanced images must be finite"):
        enhance(
            torch.full((1, 3, 8, 8), 0.5),
            BrokenCodec(value=value),
            brightening,
            [0.0],
            decoding=decoding,
            interpolation=interpolation,
        )


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_transport_shows_which_image_is_not_finite(fit, decoding, interpolation, value):
    brightening = replace(fit(MeanCodec(), 1), target_mean=torch.full((3,), 0.6).double())
    dark, grey = torch.full((3, 8, 8), 0.3), torch.full((3, 8, 8), 0.5)
    transported = transport_images(
        torch.stack([dark, grey]),
        BrokenCodec(value=value),
        brightening,
        decoding=decoding,
        interpolation=interpolation,
    )
    assert transported.at(0.0).isnan().flatten(1).all(dim=1).tolist() == [False, True]
    assert transported.at(0.0).isfinite().flatten(1).all(dim=1).tolist() == [True, False]


@pytest.mark.parametrize("decoding", DECODINGS)
def test_input_that_is_not_finite_is_refused(fit, decoding):
    images = torch.full((1, 3, 8, 8), torch.nan)
    with pytest.raises(ValueError, match="check the input images"):
        enhance(images, MeanCodec(), fit(MeanCodec(), 1), [0.0, 1.0], decoding=decoding)


def test_an_operator_of_another_codec_is_refused(draw_images, fit):
    with pytest.raises(ValueError, match="use the codec it was fitted with"):
        enhance(draw_images(1, 3, 8, 8), PixelCodec(8), fit(MeanCodec(), 3), [0.0])


@pytest.mark.parametrize("target", ["grey", "coloured"])
@pytest.mark.parametrize(("factor", "size"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_grey_images_give_a_stochastic_operator_that_can_be_applied(rng, target, factor, size):
    """Their three channels are one: two thirds of the source's directions are empty."""
    levels = (torch.rand(2, 1, 48, 48, generator=rng) * 255).round() / 255
    grey, codec = levels.expand(-1, 3, -1, -1), PixelCodec(factor)
    natural = (grey if target == "grey" else torch.rand(grey.shape, generator=rng)) * 0.5 + 0.2
    source, wanted = (patch_moments(codec.encode(images), size) for images in (grey, natural))
    operator = solve_transport(source, wanted, ridge=0.0)
    assert operator.is_stochastic
    values = torch.linalg.eigvalsh(operator.noise_covariance)
    assert values.min() >= -1e-12 * wanted.covariance().norm()
    assert operator.diagnostics.push_forward_error < 1e-6  # of float64, through square roots
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    enhanced = enhance(grey, codec, operator, [0.0], generators=generators)[0]
    assert enhanced.isfinite().all()
    if target == "grey":  # there is nothing to add noise to
        assert_close(enhanced, grey * 0.5 + 0.2, rtol=0, atol=1e-4)  # float32 roots of 1e-10
