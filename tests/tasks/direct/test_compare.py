"""Two folders compared: the numbers of scikit-image and of the pipeline, paired by key."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dot_kernels import GaussianMoments, gelbrich_distance
from tasks.direct.compare import Score, Scorer, require_pairs
from tasks.direct.scores import shown
from tasks.io.errors import CorpusError
from tasks.io.images import Limits

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)


@pytest.fixture
def folders(tmp_path, write_images, pixels, softened):
    clean = {f"{i}.png": pixels(i) for i in range(3)}
    ours = {name: softened(image) for name, image in clean.items()}
    ours |= {"only-ours.png": pixels(7), "size.png": pixels(8, 10, 10), "z.png": b"no image"}
    theirs = clean | {"only-theirs.png": pixels(7), "size.png": pixels(8), "z.png": pixels(9)}
    return write_images(tmp_path / "a", ours), write_images(tmp_path / "b", theirs)


def test_psnr_and_ssim_are_those_of_scikit_image(folders, pixels, softened):
    scorer = Scorer(None, None, LIMITS, device="cpu")
    found = {score.key: score for score in scorer.scores(*map(str, folders))}
    for i in range(3):
        clean, ours = pixels(i), softened(pixels(i))
        assert found[str(i)].metrics["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, ours))
        expected = structural_similarity(
            clean,
            ours,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert found[str(i)].metrics["ssim"] == pytest.approx(expected, abs=1e-6)
        assert (found[str(i)].width, found[str(i)].height) == (32, 24)
    assert scorer.frechet() is None


def test_what_has_no_counterpart_is_a_row_with_its_reason(folders):
    scorer = Scorer(None, None, LIMITS, device="cpu")
    found = {score.key: score.reason for score in scorer.scores(*map(str, folders))}
    assert list(found) == sorted(found)
    assert found["only-ours"] == "no image of this key in B"
    assert found["only-theirs"] == "no image of this key in A"
    assert found["size"] == "of another size: 10×10, 32×24"
    assert found["z"]
    assert found["0"] is None


def test_a_name_that_is_refused_does_not_hide_others(tmp_path, write_images, pixels):
    """Its key, written with escapes, is not where it was in the order of names."""
    clean = {f"{name}.png": pixels(1) for name in ("B", "a")}
    ours = write_images(tmp_path / "a", clean | {"\x01.png": pixels(1)})
    theirs = write_images(tmp_path / "b", clean | {"\x02.png": pixels(1)})
    scorer = Scorer(None, None, LIMITS, device="cpu")
    found = {score.key: score.reason for score in scorer.scores(str(ours), str(theirs))}
    assert {found.pop("\\x01"), found.pop("\\x02")}.isdisjoint({None})
    assert found == {"B": None, "a": None}


def test_means_are_over_finite_values_where_there_are_any():
    scores = [
        Score("a", metrics=m)
        for m in ({"psnr": math.inf, "ssim": 1.0}, {"psnr": 30.0, "ssim": 0.5})
    ]
    names = {"lpips_name": "LPIPS", "frechet_name": "FD"}
    titles, row, _ = shown(scores, names, None)
    assert dict(zip(titles, row, strict=True)) == {
        "images": "2",
        "PSNR ↑ (dB)": "30.00",
        "SSIM ↑": "0.7500",
    }
    assert shown(scores[:1], names, 1.5)[1] == ["1", "inf", "1.0000", "1.500"]


def test_a_folder_against_itself_is_perfect(folders):
    scorer = Scorer(None, None, LIMITS, device="cpu")
    scores = list(scorer.scores(str(folders[1]), str(folders[1])))
    assert [score.metrics for score in scores if not score.reason] == 6 * [
        {"psnr": math.inf, "ssim": 1.0}
    ]


def test_features_of_both_sets_give_the_frechet_distance(folders, rng):
    scorer = Scorer(None, None, LIMITS, device="cpu")
    sets = [torch.randn(300, 4, generator=rng) + shift for shift in (0, 1)]
    for features, rows in zip(scorer._sets, sets, strict=True):
        for row in rows:
            features.add(row)
    expected = gelbrich_distance(*map(GaussianMoments.of, sets))
    assert scorer.frechet() == pytest.approx(float(expected))


def test_weights_that_cannot_be_had_leave_a_metric_out_with_a_sentence(
    folders, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    monkeypatch.setattr("torch.hub.download_url_to_file", _no_network)
    scorer = Scorer("squeeze", "squeezenet", LIMITS, device="cpu")
    assert len(scorer.missing) == 2
    assert "cannot be fetched" in scorer.missing[0]
    assert all("lpips" not in score.metrics for score in scorer.scores(*map(str, folders)))


def _no_network(*_, **__):
    raise OSError("no network")


def test_folders_without_a_pair_are_told():
    with pytest.raises(CorpusError, match="got no two images to compare; the first is 'x': why"):
        require_pairs([Score("x", reason="why")], "a", "b")
    with pytest.raises(CorpusError, match="there is no image"):
        require_pairs([], "a", "b")


def test_names_that_differ_by_an_end_are_paired_without_it(tmp_path, write_images, pixels):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    write_images(ours, {"a/1_net.png": pixels(1)})
    write_images(theirs, {"a/1.png": pixels(1)})
    scorer = Scorer(None, None, LIMITS, device="cpu")
    folders = str(ours), str(theirs)
    with pytest.raises(CorpusError, match=r"Without '_net' they agree: --strip _net"):
        require_pairs(list(scorer.scores(*folders)), *folders)
    assert [(s.key, s.reason) for s in scorer.scores(*folders, "_net")] == [("a/1", None)]


def test_the_command_shows_means_and_writes_a_table(dotpipe, folders, tmp_path):
    table = tmp_path / "scores.parquet"
    words = ("metrics", *folders, "--lpips", "none", "--features", "none", "--out", table)
    code, told, _ = dotpipe(*words)
    assert code == 0
    assert "3 of 7 images compared" in told
    assert "1 × no image of this key in B" in told
    rows = pq.read_table(table).to_pylist()
    assert [row["key"] for row in rows][:2] == ["0", "1"]
    psnr = np.mean([row["psnr"] for row in rows if row["psnr"] is not None])
    assert f"{psnr:.2f}" in told


def test_a_network_that_is_not_known_is_told(dotpipe, folders):
    code, _, err = dotpipe("metrics", *folders, "--lpips", "resnet")
    assert code == 1
    assert "lpips: Input should be 'alex', 'vgg' or 'squeeze', got 'resnet'" in err
