"""The main job on real photographs, with the networks that people use."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import metrics
from workspaces import plain_pipeline as pipeline

from dot_kernels import patch_moments, solve_transport, transport_images
from dot_kernels.degradations import Downscale, degrade
from dot_kernels.restorers import bicubic
from tasks.config import Config, load_config
from tasks.config.sections import Enhance, Evaluate
from tasks.enhance.perception import distortions_along
from tasks.io.images.pixels import as_written, to_pixels, to_tensor
from tasks.io.networks.codecs import Autoencoder, Pixel, load_codec
from tasks.io.workspace import Signal
from tests.support.pictures import encode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(test_data, repository, tmp_path_factory):
    """infra/configs/noise50-taesd.yaml at alpha 0, over 64 images, paths led to the data."""
    given = load_config(repository / "infra/configs/noise50-taesd.yaml")
    stated = (repository / "../shared/data").resolve()
    tree = given.model_dump_json().replace(str(stated), str(test_data))
    whole = Config.model_validate_json(tree)
    corpora = whole.corpora
    return whole.model_copy(
        update={
            "corpora": corpora.model_copy(
                update={
                    "natural": corpora.natural.model_copy(update={"limit": 10}),
                    "reference": corpora.reference.model_copy(update={"limit": 64}),
                }
            ),
            "evaluate": Evaluate(lpips="squeeze", features=None, curve=None),
            "workspace": str(tmp_path_factory.mktemp("real-input")),
            "enhance": Enhance(alphas=(0.0,)),
        }
    )


@pytest.fixture(scope="module")
def outcomes(config, test_data):
    """Means over the 64 images: the input, and three ways to enhance it fully."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(test_data / "weights/torch_home"))
        quick = config.model_copy(
            update={
                "evaluate": Evaluate(lpips="squeeze", features=None, controls=False, curve=None)
            }
        )
        direct = quick.enhance.model_copy(update={"decoding": "direct"})
        unpaired = quick.fit.model_copy(update={"pairing": "unpaired"})
        rows = {
            "residual": pipeline.run(config),
            "direct": pipeline.run(quick.model_copy(update={"enhance": direct})),
            "unpaired": pipeline.run(quick.model_copy(update={"fit": unpaired})),
        }
    means = {name: found[0] for name, found in rows.items()}
    return means | {row["signal"]: row for row in rows["residual"] if row["alpha"] is None}


def test_every_image_is_scored(outcomes):
    assert {row["images"] for row in outcomes.values()} == {64}


def test_residual_decoding_beats_direct_decoding(outcomes):
    assert outcomes["residual"]["psnr"] > outcomes["direct"]["psnr"] + 2
    assert outcomes["residual"]["lpips"] < outcomes["direct"]["lpips"]


def test_pairs_beat_unpaired_images(outcomes):
    assert outcomes["residual"]["psnr"] > outcomes["unpaired"]["psnr"]
    assert outcomes["residual"]["lpips"] < outcomes["unpaired"]["lpips"]


def test_enhanced_images_look_better_than_the_restorers_output(outcomes):
    assert outcomes["residual"]["lpips"] < outcomes["input"]["lpips"]


# Distortion between the written alphas

ALPHAS = (-0.35, 0.05, 0.45, 0.85, 1.25)


@pytest.fixture(scope="module", params=["pixel", "taesd", "taesd3"])
def lines(request, test_data):
    """Two photographs, upscaled by 4, with what the transport adds to them."""
    weights = str(test_data / "weights" / request.param)
    spec = (
        Pixel(kind="pixel", factor=4)
        if request.param == "pixel"
        else Autoencoder(kind="autoencoder-tiny", weights=weights)
    )
    codec, steps = load_codec(spec, "cpu", "float32"), [Downscale(factor=4)]
    images = []
    for path in sorted((test_data / "images/kodak24").glob("*.png"))[:6]:
        natural = to_tensor([np.asarray(Image.open(path).convert("RGB"))[:192, :192]])
        low = degrade(natural[0], steps, torch.Generator().manual_seed(0))
        images.append((as_written(bicubic(low, steps))[None], natural))
    with torch.inference_mode():
        source, target = (
            patch_moments(codec.encode(torch.cat([pair[side] for pair in images[:4]])), 3)
            for side in (0, 1)
        )
        operator = solve_transport(source, target)
        return [(transport_images(x, codec, operator), y) for x, y in images[4:]]


def test_the_curve_between_written_alphas_is_that_of_files_read_back(lines):
    signals = [Signal("curve", alpha) for alpha in ALPHAS]
    for transported, natural in lines:
        (found,) = distortions_along(transported, natural, signals)
        truth = natural[0].movedim(0, -1).double().numpy()
        for signal, row in found.items():
            file = io.BytesIO(encode(to_pixels(transported.at(signal.alpha)[0]), "png"))
            image = np.asarray(Image.open(file)) / 255
            expected = metrics.peak_signal_noise_ratio(truth, image, data_range=1)
            assert row["psnr"] == pytest.approx(expected, abs=1e-5)  # dB
            unclipped = transported.images + (1 - signal.alpha) * transported.direction()
            assert unclipped.min() < 0 or unclipped.max() > 1
