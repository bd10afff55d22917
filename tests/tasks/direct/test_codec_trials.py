"""Codecs tried on a few images: which images, what is made of them, and what is measured."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dot_kernels import PixelCodec, fit_levels, patch_moments, solve_transport, transport_images
from dot_kernels.dials import LOW_KEPT, with_low_band
from dot_kernels.enhancement import at_each
from dot_kernels.metrics import peak_signal_to_noise_ratio
from dot_kernels.moments import merge
from dot_kernels.taef2 import Taef2
from tasks.config import Config
from tasks.direct import codec_trials
from tasks.direct.codec_images import limited, trial_images
from tasks.direct.codec_sheet import CELL, GAP, HEAD, sheet
from tasks.direct.codec_trials import tried
from tasks.direct.codec_way import ALPHAS, Way
from tasks.direct.judges import Judges
from tasks.direct.known_codecs import codec_named
from tasks.io.errors import ConfigurationError, CorpusError, WeightsMissing
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.networks.codecs import Pixel
from tasks.io.workspace import Workspace
from tests.support.networks.small_autoencoders import small
from tests.support.workspaces.plain_pipeline import shard

PIXEL = Pixel(factor=2)


def trial_of(spec, images, config, show=1, name="mine"):
    """What a codec makes of images, without levels."""
    return tried(Way.fitted(name, spec, images, config), images, Judges(config), show)


@pytest.fixture
def configured(photographs, tmp_path):
    """Returns a configuration of some of the photographs' folders."""

    def config(**roles):
        paths = {role: {"path": str(photographs[name])} for role, name in roles.items()}
        tree = {
            "name": "run",
            "workspace": str(tmp_path / "users"),
            "corpora": paths,
            "codec": {"kind": "pixel"},
            "evaluate": {"lpips": None, "features": None},
        }
        return Config.model_validate(tree)

    return config


@pytest.fixture
def found(configured, tmp_path):
    """Returns the images that codecs are tried on, and their configuration."""

    def images(count=4, **roles):
        few = limited(configured(**roles), str(tmp_path / "few"), count)
        shard(few, Workspace(few.workspace))
        return few, trial_images(few, count)

    return images


def test_half_of_the_images_are_fitted_on_and_the_others_enhanced(found):
    _, images = found(restored="restored", reference="natural")
    assert images.is_paired
    assert len(images.fitted) == len(images.natural) == len(images.held) == 4
    assert images.held.keys() == images.truths.keys()
    fitted = {pixels.tobytes() for pixels in images.fitted}
    assert not fitted & {pixels.tobytes() for pixels in images.held.values()}


def test_no_more_images_are_made_than_asked_for(found):
    config, images = found(count=2, restored="restored", reference="natural")
    assert sum(Workspace(config.workspace).shards("run").values()) == 4
    assert (len(images.fitted), len(images.held)) == (2, 2)


def test_a_reference_takes_the_place_of_natural_images(configured, tmp_path):
    config = configured(restored="restored", natural="restored", reference="natural")
    assert limited(config, str(tmp_path), 3).natural_name == "reference"


def test_tars_are_refused(configured, tmp_path):
    tree = configured(restored="restored", natural="natural").model_dump()
    tree["corpora"]["natural"]["path"] = str(tmp_path / "shard-{000..009}.tar")
    with pytest.raises(ConfigurationError, match=r"corpora\.natural must be a folder of images"):
        limited(Config.model_validate(tree), str(tmp_path), 3)


def test_too_few_images_are_told(found):
    with pytest.raises(CorpusError, match="there must be 4 restored images that have a reference"):
        found(count=1, restored="restored", reference="natural")


def test_images_are_those_of_the_transport_that_was_fitted_to_the_others(found):
    config, images = found(restored="restored", reference="natural")
    trial = trial_of(PIXEL, images, config, show=9)
    codec = PixelCodec(2)

    def moments(each):
        cut = [pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2] for pixels in each]
        return merge(patch_moments(codec.encode(to_tensor([pixels])), 1) for pixels in cut)

    operator = solve_transport(
        moments(images.fitted), moments(images.natural), ridge=config.fit.ridge
    )
    errors = []
    for key, pixels in images.held.items():
        moved = transport_images(to_tensor([pixels]), codec, operator)
        expected = at_each(with_low_band(moved, LOW_KEPT), (0.0, 0.5))
        for alpha, made in zip((0.0, 0.5), expected, strict=True):
            np.testing.assert_array_equal(trial.shown[key][alpha], to_pixels(made[0]))
        np.testing.assert_array_equal(trial.shown[key][1.0], pixels)
        truth = images.truths[key].astype(float)
        errors.append(((trial.shown[key][0.0] - truth) ** 2).mean() / 255**2)
    assert trial.at[0.0].psnr == pytest.approx([peak_signal_to_noise_ratio(e) for e in errors])
    assert set(trial.at) == {*ALPHAS, 1.0}
    assert trial.at[1.0].change == [float("inf")] * 4


def test_what_it_costs_is_measured(found):
    config, images = found(restored="restored", reference="natural")
    trial = trial_of(PIXEL, images, config)
    assert (trial.factor, trial.channels, trial.weights) == (2, 12, 0)
    assert 0 < trial.seconds < 5
    assert trial.memory is None or trial.memory >= 0
    assert len(trial.shown) == 1


def test_without_a_reference_the_change_alone_is_measured(found):
    config, images = found(restored="restored", natural="natural")
    trial = trial_of(PIXEL, images, config)
    assert images.truths == {}
    assert trial.at[0.0].psnr == []
    assert len(trial.at[0.0].change) == 4
    assert min(trial.at[0.5].change) > max(trial.at[0.0].change) - 20


def test_a_network_is_tried_from_its_folder(found, tmp_path):
    config, images = found(restored="restored", reference="natural")
    for part in ("encoder", "decoder"):
        state = Taef2().get_submodule(part).half().state_dict()
        save_file(state, tmp_path / f"{part}.safetensors")
    spec = codec_named(str(tmp_path))
    with pytest.raises(CorpusError, match="no transport can be fitted with mine: "):
        trial_of(spec, images, config)  # to twelve latent pixels
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"encoder\.safetensors must hold weights"):
        trial_of(spec, images, config)


@pytest.fixture
def tiny(tmp_path):
    """A small auto-encoder of three levels, in a folder."""
    small("AutoencoderTiny").save_pretrained(tmp_path / "tiny")
    return codec_named(str(tmp_path / "tiny"))


def with_levels(config, levels="all", **patches):
    tree = config.model_dump()
    tree |= {"transport": {"levels": levels}, "patches": {"size": 1, **patches}}
    return Config.model_validate(tree)


def test_levels_are_those_of_the_kernels(found, tiny):
    config, images = found(restored="restored", reference="natural")
    config = with_levels(config, [0, 2])
    plain = Way.fitted("mine", tiny, images, config)
    way = plain.with_levels()
    restored, natural = plain.latents
    expected = fit_levels(
        plain.operator, restored, natural, plain.codec, levels=[0, 2], ridge=config.fit.ridge
    )
    assert list(way.operator.levels) == [0, 2]
    for level, own in way.operator.levels.items():
        torch.testing.assert_close(own.matrix, expected.levels[level].matrix)
    trial = tried(way, images, Judges(config), show=1)
    (key,) = trial.shown
    moved = transport_images(to_tensor([images.held[key]]), plain.codec, expected)
    (made,) = at_each(with_low_band(moved, LOW_KEPT), (0.25,))
    np.testing.assert_array_equal(trial.shown[key][0.25], to_pixels(made[0]))
    assert (trial.name, trial.plain) == ("mine + levels", "mine")
    assert trial.fit > plain.seconds


def test_unless_told_otherwise_all_levels_but_the_first_are_tried(found, tiny):
    config, images = found(restored="restored", reference="natural")
    way = Way.fitted("mine", tiny, images, with_levels(config, "auto"))
    assert way.levels == (1, 2)
    assert Way.fitted("mine", PIXEL, images, with_levels(config, "auto")).levels == ()
    assert Way.fitted("mine", tiny, images, with_levels(config, "none")).levels == ()


def test_levels_that_a_codec_lacks_are_told(found, tiny):
    config, images = found(restored="restored", reference="natural")
    with pytest.raises(CorpusError, match="its decoder has no levels"):
        Way.fitted("mine", PIXEL, images, with_levels(config)).with_levels()
    with pytest.raises(CorpusError, match="its decoder has levels 0 to 2"):
        Way.fitted("mine", tiny, images, with_levels(config, [1, 3])).with_levels()


def test_a_frechet_distance_is_told_of_enough_images_only(monkeypatch, rng):
    ours, theirs = torch.rand(2, 60, 3, generator=rng)
    assert codec_trials._frechet(list(ours), list(theirs)) > 0
    assert codec_trials._frechet(list(ours[:49]), list(theirs)) is None


def test_the_sheet_has_every_version_side_by_side(found):
    config, images = found(restored="restored", reference="natural")
    trials = [trial_of(PIXEL, images, config, show=2, name=n) for n in ("one", "two")]
    page = sheet(trials, images.truths)
    step, key = CELL + GAP, next(iter(trials[0].shown))
    assert page.size == (4 * step + GAP, HEAD + 2 * 2 * step)
    first, last = page.getpixel((GAP, HEAD)), page.getpixel((GAP + 3 * step, HEAD))
    assert first == tuple(images.held[key][0, 0])
    assert last == tuple(images.truths[key][0, 0])
    assert sheet(trials, {}).width == 3 * step + GAP
