"""The main job on real photographs, with the networks that people use."""

import pytest
from workspaces import plain_pipeline as pipeline

from tasks.config import Config, load_config
from tasks.config.sections import Enhance, Evaluate

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
