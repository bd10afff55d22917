"""DDRM as a step of a run, with a small model of random weights."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from tasks.config import load_config
from tasks.io.errors import CorpusError, WeightsMissing
from tasks.io.images import Limits
from tasks.io.networks.restorers import load_restorer
from tasks.io.networks.weights import Weights
from tasks.upkeep.check import check
from tasks.upkeep.pull import pull_weights
from tests.support.pictures import images_of

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
DEGRADE = [{"kind": "downscale", "factor": 4, "kernel": "area"}, {"kind": "noise", "sigma": 0.05}]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)  # diffusers initialises from the global state
    module = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        out_channels=6,
    )
    module.save_pretrained(tmp_path / "model")
    DDPMScheduler().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def made(steps, workspace, photographs, model, crop=16, **sections):
    corpus = {"path": str(photographs["natural"]), "crop": crop}
    restore = {"kind": "ddrm", "model": str(model), "steps": 3}
    return steps(workspace, {"reference": corpus}, degrade=DEGRADE, restore=restore, **sections)


def test_a_run_restores_fits_and_enhances_what_the_model_drew(steps, tmp_path, photographs, model):
    run = made(steps, tmp_path / "w", photographs, model)
    run.run()
    found = images_of(run)
    assert {image.shape for image in found.values()} == {(16, 16, 3)}
    assert len(found) == 8


def test_the_same_key_is_drawn_alike_whatever_the_shard(steps, tmp_path, photographs, model):
    runs = [
        made(steps, tmp_path / f"w{n}", photographs, model, shards={"images": n}) for n in (3, 8)
    ]
    for run in runs:
        run.shard()
    first, second = map(images_of, runs)
    assert list(first) == list(second)
    for key, image in first.items():  # in other batches, which sum in another order
        difference = np.abs(second[key].astype(int) - image)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_images_of_another_size_are_refused_with_the_reason(steps, tmp_path, photographs, model):
    run = made(
        steps, tmp_path / "w", photographs, model, crop=None, shards={"max_bad_fraction": 0.5}
    )
    with pytest.raises(CorpusError, match="trained for, got 24×20, its sides rounded up to"):
        run.shard()


def test_missing_weights_stop_a_run_with_the_field_that_names_them(steps, tmp_path, photographs):
    run = made(steps, tmp_path / "w", photographs, tmp_path / "absent")
    with pytest.raises(WeightsMissing, match=r"absent/config.json must hold .* restore.model is a"):
        run.shard()


def test_a_check_loads_the_model(steps, tmp_path, photographs, model):
    config = made(steps, tmp_path / "w", photographs, model).config
    found = {each.what: each for each in check(config)}
    assert found["weights of the restorer"].state == "good"
    (model / "config.json").unlink()
    found = {each.what: each for each in check(config)}
    assert found["weights of the restorer"].state == "bad"


def test_a_pulled_model_is_used_where_its_folder_is_not(steps, tmp_path, photographs, model):
    config = made(steps, tmp_path / "w", photographs, model).config
    pulled = str(tmp_path / "pulled")
    list(pull_weights(config, pulled))
    kept = tmp_path / "pulled" / "restorers" / "model"
    assert sorted(path.name for path in kept.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "scheduler_config.json",
    ]
    DDPMScheduler(beta_end=0.01).save_pretrained(model)
    list(pull_weights(config, pulled))
    changed = (model / "scheduler_config.json").read_bytes()
    assert (kept / "scheduler_config.json").read_bytes() == changed
    model.rename(tmp_path / "elsewhere")
    with pytest.raises(WeightsMissing):
        load_restorer(config.restore, "cpu")
    load_restorer(config.restore, "cpu", Weights.of(pulled))


def test_a_relative_folder_counts_from_the_configuration(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "workspace: w\ncorpora: {reference: {path: r}}\ndegrade: [{kind: noise, sigma: 0.1}]\n"
        "restore: {kind: ddrm, model: models/faces}\n"
    )
    assert load_config(path).restore.model == str(tmp_path / "models" / "faces")


@pytest.mark.parametrize(
    ("degrade", "said"),
    [
        (
            [{"kind": "jpeg", "quality": 30}],
            "restore by ddrm cannot undo degrade: degradations must be linear, got jpeg",
        ),
        (DEGRADE[::-1], "downscale must come before all noise"),
    ],
)
def test_degradations_that_ddrm_cannot_undo_are_refused_at_once(
    steps, tmp_path, photographs, degrade, said
):
    with pytest.raises(ValueError, match=said):
        steps(
            tmp_path / "w",
            {"reference": photographs["natural"]},
            degrade=degrade,
            restore={"kind": "ddrm", "model": "m"},
        )
