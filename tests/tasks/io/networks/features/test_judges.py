"""Judges of single images: found by their weights, and the kernels' numbers of what is seen."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dot_kernels.metrics.niqe import PristineModel, block_features, natural_image_quality
from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import judges
from tasks.io.networks.features.judges import (
    fetch_judge,
    judge_identity,
    judge_title,
    load_judge,
)
from tasks.io.networks.published_weights import PUBLISHED
from tasks.report.report import report_artifact

NAME = PUBLISHED["niqe"].name


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub folder without weights, and no way to any."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    judges._load_judge.cache_clear()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def made_up(hub, monkeypatch, rng):
    """A model of pristine images that was drawn by chance, as if it were the published one."""
    root = torch.randn(36, 36, generator=rng, dtype=torch.float64)
    mean, covariance = torch.rand(36, generator=rng).double(), root @ root.T
    arrays = {"mu_pris_param": mean.numpy()[None], "cov_pris_param": covariance.numpy()}
    np.savez(hub / NAME, **arrays, gaussian_window=np.ones((7, 7)))
    digest = sha256((hub / NAME).read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, "niqe", replace(PUBLISHED["niqe"], sha256=digest))
    return PristineModel(mean, covariance)


@pytest.fixture
def images(rng):
    return torch.rand(2, 3, 200, 300, generator=rng)


def quality(image, model, counted=None):
    height, width = image.shape[1:]
    features = block_features(
        lambda y, x: image[None, :, y.start : y.stop, x.start : x.stop], height, width
    )
    return natural_image_quality(features[0], model, counted)


def test_a_judge_whose_weights_are_missing_is_told_with_the_remedy(hub):
    assert judge_identity("niqe") is None
    with pytest.raises(WeightsMissing, match=rf"NIQE needs {NAME}.*set evaluate.niqe: false"):
        fetch_judge("niqe")
    with pytest.raises(WeightsMissing):
        load_judge("niqe", "cpu")
    assert judge_title("niqe") == "NIQE"


def test_a_file_that_is_not_the_published_one_is_not_opened(hub):
    np.savez(hub / NAME, mu_pris_param=np.zeros(36), cov_pris_param=np.eye(36))
    assert judge_identity("niqe") is None
    with pytest.raises(WeightsMissing, match="is not opened"):
        load_judge("niqe", "cpu")


def test_quality_is_that_of_the_kernel_with_the_models_numbers(made_up, images):
    judge = load_judge("niqe", "cpu")
    assert judge.column == "niqe"
    expected = [quality(image, made_up) for image in images]
    assert judge(images, None, None) == pytest.approx(expected, rel=1e-9)
    read = lambda y, x: images[:1, :, y.start : y.stop, x.start : x.stop]  # noqa: E731
    assert judge.in_tiles(read, None, (200, 300), None) == pytest.approx(expected[0], rel=1e-9)


def test_blocks_in_which_nothing_is_seen_do_not_count(made_up, images):
    judge = load_judge("niqe", "cpu")
    opacity = torch.ones(2, 200, 300)
    opacity[:, :96, 96:192] = 0
    counted = torch.tensor([True, False, True, True, True, True])
    expected = [quality(image, made_up, counted) for image in images]
    assert judge(images, None, opacity) == pytest.approx(expected, rel=1e-9)
    read = lambda y, x: images[:1, :, y.start : y.stop, x.start : x.stop]  # noqa: E731
    levels = (opacity[0] * 255).byte()
    assert judge.in_tiles(read, None, (200, 300), levels) == pytest.approx(expected[0], rel=1e-9)


def test_images_of_less_than_two_blocks_have_none(made_up):
    judge = load_judge("niqe", "cpu")
    small = torch.rand(2, 3, 90, 300)
    assert judge(small, None, torch.ones(2, 90, 300)) == [None, None]
    read = lambda y, x: small[:1, :, y.start : y.stop, x.start : x.stop]  # noqa: E731
    assert judge.in_tiles(read, None, (90, 300), torch.ones(90, 300)) is None


def test_a_run_without_a_reference_has_the_quality_of_what_it_writes(
    hub, made_up, steps, write_images, pixels, softened, tmp_path
):
    natural = {f"{i}.png": pixels(i, 96, 208) for i in range(3)}
    corpora = {
        "natural": write_images(tmp_path / "natural", natural),
        "restored": write_images(
            tmp_path / "restored", {name: softened(each) for name, each in natural.items()}
        ),
    }
    run = steps(tmp_path / "workspace", corpora, evaluate={"niqe": None})
    (model,) = hub.glob("*.npz")
    digest = sha256(model.read_bytes()).hexdigest()
    rows = {(row["signal"], row["alpha"]): row for row in run.run()}
    came = [softened(each) for each in natural.values()]
    for key in (("input", None), ("enhanced", 1.0)):
        seen = [torch.from_numpy(each).movedim(-1, 0) / 255 for each in came]
        expected = np.mean([quality(image, made_up) for image in seen])
        assert rows[key]["niqe"] == pytest.approx(expected, rel=1e-9)
    assert rows["enhanced", 0.0]["niqe"] != pytest.approx(rows["enhanced", 1.0]["niqe"], rel=1e-3)
    assert rows["enhanced", 0.0]["niqe_change"] is not None
    assert run.enhancement_jobs(with_images=False) == []
    record = json.loads(run.workspace.store.read(f"{report_artifact(run.fitted)[:-6]}run.json"))
    assert record["weights"]["niqe"] == {"judge": "niqe", "sha256": digest}


def test_two_folders_are_scored_by_judges_that_are_asked_for(
    hub, made_up, dotpipe, write_images, pixels, softened, tmp_path
):
    theirs = {f"{i}.png": pixels(i, 96, 208) for i in range(2)} | {"s.png": pixels(3)}
    ours = {name: softened(image) for name, image in theirs.items()}
    folders = write_images(tmp_path / "a", ours), write_images(tmp_path / "b", theirs)
    words = ("metrics", *folders, "--lpips", "none", "--features", "none")
    table = tmp_path / "scores.parquet"
    code, told, _ = dotpipe(*words, "--judges", "niqe", "--out", table)
    seen = [torch.from_numpy(ours[f"{i}.png"]).movedim(-1, 0) / 255 for i in range(2)]
    expected = [quality(image, made_up) for image in seen]
    assert code == 0
    assert f"{np.mean(expected):.2f}" in told
    rows = pq.read_table(table).to_pylist()
    assert [row["niqe"] for row in rows[:2]] == pytest.approx(expected, rel=1e-9)
    assert rows[2]["niqe"] is None
    assert rows[2]["ssim"] is not None
    code, _, error = dotpipe(*words, "--judges", "niqe,brisque")
    assert code == 1
    assert "judges must be none or of niqe" in error
    assert "got 'brisque'" in error
    (hub / NAME).unlink()
    code, told, _ = dotpipe(*words, "--judges", "niqe")
    assert code == 0
    assert "NIQE needs" in " ".join(told.split())
