"""Diffusion models in diffusers' format, loaded and run as restorers."""

import json

import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, DDPMScheduler, UNet2DModel

from dot_kernels.degradations import Downscale, Noise, degrade
from tasks.io.errors import ConfigurationError, ImageRefused, WeightsMissing
from tasks.io.networks.ddrm import Ddrm, load_ddrm, locate_model, pulled_model
from tasks.io.networks.digests import digest, weights_in_words
from tasks.io.networks.restorers import load_restorer, restorer_identity

REVISION = "7" * 40
NOISE = (Noise(sigma=0.1),)


@pytest.fixture
def saved(tmp_path):
    """Writes a diffusion model with random weights, and says where it is."""

    def save(scheduler=None, name="model", layout="", file="safetensors", **options):
        torch.manual_seed(0)  # diffusers initialises from the global state
        given = {"sample_size": 16, "out_channels": 3, "in_channels": 3} | options
        module = UNet2DModel(
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            **given,
        )
        folder = tmp_path / name
        module.save_pretrained(folder / layout, safe_serialization=file == "safetensors")
        (scheduler or DDPMScheduler()).save_pretrained(folder / ("scheduler" if layout else ""))
        prefix = f"{layout}/" if layout else ""
        return Ddrm(
            kind="ddrm", model=str(folder), file=f"{prefix}diffusion_pytorch_model.{file}", steps=3
        )

    return save


def drawn(spec, rng, size=(16, 16), key="a", degradations=NOISE):
    clean = torch.rand(3, *size, generator=rng.manual_seed(0))
    degraded = degrade(clean, degradations, torch.Generator().manual_seed(1))
    return load_ddrm(spec, "cpu").restore(degraded[None], degradations, [key])[0]


@pytest.mark.parametrize("layout", ["", "unet"])
@pytest.mark.parametrize("file", ["safetensors", "bin"])
def test_a_model_of_either_layout_and_kind_of_file_draws_images(saved, rng, layout, file):
    spec = saved(layout=layout, file=file)
    found = drawn(spec, rng)
    assert found.shape == (3, 16, 16)
    assert found.isfinite().all()
    assert (found.min() >= 0, found.max() <= 1) == (True, True)
    identity = restorer_identity(spec)
    assert identity["sha256"] == [digest(path) for path in locate_model(spec)]
    assert weights_in_words(identity) == f"weights with sha256 {identity['sha256'][-1]}"


def test_an_image_is_drawn_by_its_key_and_the_seed(saved, rng):
    spec = saved()
    first = drawn(spec, rng)
    assert torch.equal(drawn(spec, rng), first)
    assert not torch.allclose(drawn(spec, rng, key="b"), first)
    assert not torch.allclose(drawn(spec.model_copy(update={"seed": 1}), rng), first)


def test_of_six_channels_the_first_three_are_the_noise(saved, rng):
    six = saved(out_channels=6)
    restorer = load_ddrm(six, "cpu")
    noisy = torch.randn(1, 3, 16, 16, generator=rng)
    with torch.inference_mode():
        whole = restorer.model.module(noisy, 5).sample
        assert torch.equal(restorer.model(noisy, 5), whole[:, :3])
    assert drawn(six, rng).shape == (3, 16, 16)


def test_what_was_measured_without_noise_stays(saved, rng):
    clean, steps = torch.rand(2, 3, 16, 16, generator=rng), (Noise(sigma=0.0),)
    found = load_restorer(saved(), "cpu").restore(clean, steps, ["k", "l"])
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-4)


def test_the_other_images_of_a_batch_change_nothing(saved, rng):
    degraded, steps = torch.rand(3, 3, 16, 16, generator=rng), (Noise(sigma=0.2),)
    restorer = load_restorer(saved(), "cpu")
    whole = restorer.restore(degraded, steps, ["k", "l", "m"])
    for k, key in enumerate("klm"):
        alone = restorer.restore(degraded[k : k + 1], steps, [key])[0]
        torch.testing.assert_close(alone, whole[k], rtol=0, atol=1e-3)  # σ begins at 157


def test_the_schedule_is_that_of_the_file(saved):
    betas = {"beta_start": 0.001, "beta_end": 0.01, "num_train_timesteps": 50}
    for scheduler in (DDPMScheduler(**betas), DDIMScheduler(**betas)):
        found = load_ddrm(saved(scheduler), "cpu").model.alphas_cumprod
        expected = torch.cumprod(1 - torch.linspace(0.001, 0.01, 50).double(), 0)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected)


def test_more_steps_than_the_diffusion_has_are_refused(saved):
    spec = saved(DDPMScheduler(num_train_timesteps=10)).model_copy(update={"steps": 11})
    with pytest.raises(ConfigurationError, match=r"restore.steps must be at most 10, .* got 11"):
        load_ddrm(spec, "cpu")


def test_images_of_another_size_than_the_model_was_trained_for_are_refused(saved, rng):
    with pytest.raises(ImageRefused, match=r"16×16 pixels, .* trained for, got 16×20: crop"):
        drawn(saved(), rng, size=(16, 20))
    steps = (Downscale(factor=4, kernel="area"),)
    with pytest.raises(ImageRefused, match="got 32×16"):
        drawn(saved(), rng, size=(32, 16), degradations=steps)
    assert drawn(saved(), rng, degradations=steps).shape == (3, 16, 16)


def test_a_model_of_two_sides_or_of_any_size_takes_what_it_can(saved, rng):
    assert drawn(saved(sample_size=(16, 20)), rng, size=(16, 20)).shape == (3, 16, 20)
    free = saved(name="free", sample_size=None)
    assert drawn(free, rng, size=(10, 14)).shape == (3, 10, 14)
    with pytest.raises(ImageRefused, match=r"multiples of 2 .* got 10×15"):
        drawn(free, rng, size=(10, 15))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"in_channels": 4}, "got one from 4 channels to 3"),
        ({"out_channels": 1}, "got one from 3 channels to 1"),
        ({"num_class_embeds": 10}, "got one that must be told what is in an image"),
        ({"scheduler": DDPMScheduler(prediction_type="v_prediction")}, "got prediction_type v_pre"),
        ({"scheduler": DDPMScheduler(rescale_betas_zero_snr=True)}, "betas that are not between"),
    ],
)
def test_models_that_do_not_fit_are_told_in_a_sentence(saved, options, said):
    with pytest.raises(WeightsMissing, match=said):
        load_ddrm(saved(**options), "cpu")


def test_a_schedule_without_betas_is_told(saved, tmp_path):
    spec = saved()
    path = tmp_path / "model" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "ScoreSdeVeScheduler", "sigma_max": 1348.0}))
    with pytest.raises(WeightsMissing, match=r"must describe the diffusion .* no beta_schedule"):
        load_ddrm(spec, "cpu")


def test_files_of_another_network_are_told(saved, tmp_path):
    spec = saved()
    AutoencoderTiny().save_pretrained(tmp_path / "model")
    with pytest.raises(WeightsMissing, match=r"must hold a UNet2DModel .* AutoencoderTiny"):
        load_ddrm(spec, "cpu")


@pytest.mark.parametrize(
    "missing", ["config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors"]
)
def test_a_folder_without_one_of_its_files_is_told_with_the_remedy(saved, tmp_path, missing):
    spec = saved()
    (tmp_path / "model" / missing).unlink()
    for use in (restorer_identity, lambda spec: load_restorer(spec, "cpu")):
        with pytest.raises(WeightsMissing, match=f"{missing} must hold weights.*restore.model"):
            use(spec)


def test_other_weights_than_those_named_are_refused(saved):
    spec = saved().model_copy(update={"sha256": "0" * 64})
    with pytest.raises(WeightsMissing, match=r"must have the sha256 0{64}.* restore.sha256"):
        load_ddrm(spec, "cpu")


def test_a_file_of_weights_with_code_in_it_is_not_run(saved, tmp_path):
    spec = saved(file="bin")
    torch.save({"a": print}, tmp_path / "model" / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsMissing, match="cannot be read as one"):
        load_ddrm(spec, "cpu")


def test_weights_under_the_names_of_the_first_diffusers_are_read(saved, tmp_path, rng):
    """google/ddpm-celebahq-256 is of version 0.0.4, when layers of attention had others."""
    spec = saved(file="bin")
    expected = drawn(spec, rng)
    path = tmp_path / "model" / "diffusion_pytorch_model.bin"
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state, renamed = torch.load(path, weights_only=True), {}
    for name, tensor in state.items():
        old = name
        for new, former in first.items():
            old = old.replace(f".{new}.", f".{former}.")
        renamed[old] = tensor
    assert renamed.keys() != state.keys()
    torch.save(renamed, path)
    assert torch.equal(drawn(spec, rng), expected)


def test_a_model_of_the_hub_is_identified_by_its_commit_and_options(saved):
    spec = Ddrm(kind="ddrm", model="a/b", revision=REVISION, seed=3)
    identity = restorer_identity(spec)
    assert identity == {
        "kind": "ddrm",
        "model": "a/b",
        "revision": REVISION,
        "file": "diffusion_pytorch_model.safetensors",
        "steps": 20,
        "eta": 0.85,
        "eta_b": 1.0,
        "seed": 3,
    }
    assert weights_in_words(identity) == f"a/b at revision {REVISION}"
    assert pulled_model(spec)[1] == f"restorers/a--b@{REVISION}/scheduler_config.json"


def test_another_option_is_another_restorer(saved):
    spec = saved()
    others = ({"steps": 4}, {"eta": 0.5}, {"eta_b": 0.5}, {"seed": 1})
    found = [restorer_identity(spec.model_copy(update=other)) for other in (*others, {})]
    assert len({str(identity) for identity in found}) == 5
