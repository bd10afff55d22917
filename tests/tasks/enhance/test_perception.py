"""What stands between the networks and the tables; the networks are stand-ins."""

import math

import pytest
import torch
from torch.testing import assert_close

from dot_kernels import PixelCodec, Transported
from dot_kernels.metrics import mean_squared_error, structural_similarity
from tasks.enhance.perception import Networks, distortions_along
from tasks.io.images.pixels import finite, to_bytes
from tasks.io.networks.features.extractors import see
from tasks.io.networks.features.feature_networks import Extracted, Extractor
from tasks.io.workspace import Signal

CURVE = [Signal("curve", alpha) for alpha in (-0.5, 0.0, 0.25, 1.0, 1.5)]


@pytest.fixture
def images(rng):
    """Two images around middle grey."""
    return 0.4 + 0.2 * torch.rand(2, 3, 14, 17, generator=rng)


@pytest.fixture
def transported(rng):
    """Draws a batch on both sides of a transport, of any size, with either decoding."""

    def draw(height, width, *, direct=False, latent=False):
        images, codec_images, mapped = torch.rand(3, 2, 3, height, width, generator=rng)
        images = (images * 255).round() / 255
        return Transported(
            images=images,
            latents=images,
            mapped_latents=mapped,
            codec_images=None if direct else codec_images,
            mapped_images=None if latent else mapped,
            codec=PixelCodec(1),
        )

    return draw


def means_of(images):
    """A feature a channel; brightness and darkness as logits."""
    means = images.float().mean(dim=(2, 3))
    brightness = means.mean(dim=1)
    return Extracted(means, torch.stack([brightness, -brightness], dim=1))


@pytest.fixture
def extractor():
    """A network of three features, for images of eight pixels or more."""
    return Extractor(3, 2, 8, means_of)


# Features


def test_every_image_is_seen_with_its_features_and_logits(extractor, images):
    seen = see(extractor, to_bytes(images))
    expected = means_of(to_bytes(images))
    assert [len(one.features) for one in seen] == [3, 3]
    assert torch.equal(torch.stack([one.features for one in seen]), expected.features)
    assert torch.equal(torch.stack([one.logits for one in seen]), expected.logits)


def test_a_network_without_classes_gives_no_logits(images):
    silent = Extractor(3, None, 8, lambda x: Extracted(means_of(x).features, None))
    assert [one.logits for one in see(silent, to_bytes(images))] == [None, None]


@pytest.mark.parametrize(
    ("height", "width", "known"), [(7, 30, False), (30, 7, False), (8, 8, True)]
)
def test_images_below_the_shortest_side_have_no_features(extractor, height, width, known):
    images = torch.zeros(2, 3, height, width)
    assert (see(extractor, to_bytes(images)) is not None) == known
    other = Extractor(3, None, 1, lambda x: Extracted(means_of(x).features, None))
    networks = Networks(extractors={"features": extractor, "other": other})
    names = ["features", "other"] if known else ["other"]
    assert [list(seen) for seen in networks.features(images)] == [names, names]


def test_features_are_those_of_the_bytes_that_will_be_written(extractor, images):
    beyond = images * 3 - 1  # some of it below 0 and above 1
    written = torch.tensor([round(255 * min(max(x, 0), 1)) for x in beyond.flatten().tolist()])
    expected = written.reshape(beyond.shape).float().mean(dim=(2, 3))
    seen = Networks(extractors={"features": extractor}).features(beyond)
    assert_close(torch.stack([one["features"].features for one in seen]), expected)


def test_what_networks_made_is_not_taken_for_that_of_others(extractor):
    """Points of a study may call two networks alike that look at the same controls."""
    one, other = (Networks(extractors={"features": extractor}, identities=i) for i in ("a", "b"))
    assert one.names != other.names


def test_looking_does_not_change_the_images(extractor, images):
    before = images.clone()
    Networks(extractors={"features": extractor}).features(images)
    assert torch.equal(images, before)


# LPIPS


def squared(references):
    """A stand-in for LPIPS, which looks at the references once."""
    return lambda images: (images - references).square().mean(dim=(1, 2, 3))


def test_perceptual_distances_are_the_networks_image_by_image(rng):
    images, references = torch.rand(2, 2, 3, 32, 40, generator=rng)
    distance = Networks(lpips=squared).against(references)
    assert torch.equal(distance(images), squared(references)(images))
    assert distance(references).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("height", "width", "known"), [(31, 64, False), (64, 31, False), (32, 32, True)]
)
def test_perceptual_distances_of_small_images_are_unknown(height, width, known):
    references = torch.zeros(1, 3, height, width)
    assert (Networks(lpips=squared).against(references) is not None) == known


def test_without_networks_or_references_nothing_is_known(images):
    assert Networks().features(images) == [{}, {}]
    assert Networks().against(torch.zeros(2, 3, 64, 64)) is None
    assert Networks(lpips=squared).against(None) is None


# Distortions along the curve


@pytest.mark.parametrize("direct", [False, True])
def test_distortions_are_those_of_the_images_as_written_at_every_alpha(transported, rng, direct):
    batch = transported(14, 17, direct=direct)
    references = (255 * torch.rand(2, 3, 14, 17, generator=rng)).round() / 255
    found = distortions_along(batch, references, CURVE)
    assert [list(image) for image in found] == [CURVE, CURVE]
    for index, image in enumerate(found):
        for signal, row in image.items():
            enhanced = to_bytes(batch.at(signal.alpha))[index].double() / 255
            mse = mean_squared_error(enhanced, references[index])
            assert list(row) == ["indrmse", "mse", "psnr", "ssim"]
            assert row["mse"] == pytest.approx(mse, rel=1e-6)  # float32 references
            assert row["psnr"] == pytest.approx(-10 * math.log10(mse), rel=1e-6)
            expected = structural_similarity(enhanced, references[index])
            assert row["ssim"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("direct", [False, True])
def test_without_references_there_is_the_distance_of_what_is_written_to_the_input(
    transported, direct
):
    batch = transported(14, 17, direct=direct)
    found = distortions_along(batch, None, CURVE)
    for index, image in enumerate(found):
        came = to_bytes(batch.images)[index].double()
        for signal, row in image.items():
            moved = to_bytes(batch.at(signal.alpha))[index].double() - came
            assert row == {"indrmse": pytest.approx(math.sqrt(moved.square().mean()), rel=1e-6)}


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (1, 1)])
def test_images_below_the_window_have_errors_but_no_similarity(transported, rng, height, width):
    batch = transported(height, width)
    found = distortions_along(batch, torch.rand(2, 3, height, width, generator=rng), CURVE)
    for image in found:
        assert [row["ssim"] for row in image.values()] == [None] * len(CURVE)
        assert all(row["mse"] > 0 and math.isfinite(row["psnr"]) for row in image.values())


def test_a_curve_through_its_reference_has_infinite_ratio_there(transported):
    batch = transported(14, 17)
    for image in distortions_along(batch, batch.images, CURVE):
        at_one = {"indrmse": 0, "mse": 0, "psnr": math.inf, "ssim": pytest.approx(1)}
        assert image[Signal("curve", 1.0)] == at_one
        assert math.isfinite(image[Signal("curve", 0.0)]["psnr"])


def test_a_curve_of_latent_interpolation_has_no_distortions(transported):
    batch = transported(14, 17, latent=True)
    assert distortions_along(batch, batch.images, CURVE) == [{}, {}]


def test_a_curve_without_points_has_no_distortions(transported):
    batch = transported(14, 17)
    assert distortions_along(batch, batch.images, []) == [{}, {}]


# Numbers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_image_is_finite_when_all_of_it_is(value):
    images = torch.zeros(3, 3, 4, 5)
    images[1, 2, 3, 4] = value
    assert finite(images).tolist() == [True, False, True]
