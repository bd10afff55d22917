"""Metrics of pyiqa as judges, by a stand-in for the package; by the package where it is there."""

from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

from dot_kernels.metrics import peak_signal_to_noise_ratio
from tasks.io.artifacts.more_metrics import more_metrics
from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.networks.features.judges import (
    facts_on_judges,
    judge_files,
    judge_identity,
    judge_title,
    judges_named,
    load_judge,
)
from tasks.io.networks.features.pyiqa_metrics import load_pyiqa, require_pyiqa
from tests.support.standins.pyiqa_on_path import not_installed, standing_in


@pytest.fixture
def pyiqa():
    with standing_in() as module:
        module.made.clear()
        yield module


@pytest.fixture
def images(rng):
    return torch.rand(3, 3, 20, 30, generator=rng)


def test_a_metric_is_that_of_each_image_alone(pyiqa, images, capfd):
    judge = load_judge("pyiqa_brightness", "cpu")
    found = judge(images, None, None)
    assert found == pytest.approx([float(image.mean()) for image in images])
    assert judge(images, images, None) == found  # it needs no reference
    assert (judge.column, pyiqa.made) == ("pyiqa_brightness", ["brightness"])
    assert capfd.readouterr() == ("", "")


def test_a_metric_against_a_reference_gets_it_or_is_null(pyiqa, images):
    judge = load_judge("pyiqa_absolute", "cpu")
    expected = [float((image - 0.5).abs().mean()) for image in images]
    assert judge(images, torch.full_like(images, 0.5), None) == pytest.approx(expected)
    assert judge(images, None, None) == [None] * 3


def test_a_large_image_is_read_in_one_piece_up_to_a_limit(pyiqa, images, monkeypatch):
    def reader(image):
        return lambda down, across: image[None, :, down[0] : down[-1] + 1, : across[-1] + 1]

    brightness, absolute = (load_judge(f"pyiqa_{n}", "cpu") for n in ("brightness", "absolute"))
    image, other = map(reader, images[:2])
    assert brightness.in_tiles(image, other, (20, 30), None) == brightness(images, None, None)[0]
    assert absolute.in_tiles(image, other, (20, 30), None) == pytest.approx(
        float((images[0] - images[1]).abs().mean())
    )
    assert absolute.in_tiles(image, None, (20, 30), None) is None
    monkeypatch.setattr("tasks.io.networks.plug_ins.whole_images.LARGEST", 599)
    assert brightness.in_tiles(image, None, (20, 30), None) is None


def test_chance_is_the_same_for_an_image_in_any_batch_and_leaves_no_trace(pyiqa, images):
    judge = load_judge("pyiqa_chance", "cpu")
    torch.manual_seed(4)
    before = torch.rand(1)
    torch.manual_seed(4)
    whole = judge(images, None, None)
    assert torch.equal(torch.rand(1), before)
    assert judge(images[1:], None, None) == whole[1:]


def test_an_image_that_is_too_small_has_none_and_a_large_one_that_fails_is_told(pyiqa, images):
    assert load_judge("pyiqa_large", "cpu")(images, None, None) == [None] * 3
    wide = torch.zeros(1, 3, 400, 600)
    assert load_judge("pyiqa_large", "cpu")(wide, None, None) == [0]
    with pytest.raises(WeightsMissing, match=r"broken must .* 600 × 400 pixels, got RuntimeError"):
        load_judge("pyiqa_broken", "cpu")(wide, None, None)
    assert load_judge("pyiqa_unknown", "cpu")(images, None, None) == [None] * 3
    with pytest.raises(RuntimeError, match="not enough memory"):  # whoever cut the batch asks again
        load_judge("pyiqa_crowded", "cpu")(images, None, None)


def test_better_and_reference_are_what_pyiqa_says(pyiqa):
    names = ("pyiqa_brightness", "pyiqa_darkness+", "pyiqa_absolute")
    metrics = more_metrics(facts_on_judges(load_judge(name, "cpu") for name in names))
    assert [(m.column, m.better, m.reference) for m in metrics] == [
        ("pyiqa_brightness", "more", False),
        ("pyiqa_darkness+", "less", False),
        ("pyiqa_absolute", "less", True),
    ]
    assert metrics[1].title == "pyiqa darkness+"
    assert "by pyiqa 0.0.0.standin" in metrics[0].meaning


def test_a_metric_is_identified_by_its_name_and_the_version_of_pyiqa(pyiqa):
    expected = {"judge": "pyiqa_brightness", "pyiqa": "0.0.0.standin"}
    assert judge_identity("pyiqa_brightness") == expected
    assert judge_files("pyiqa_brightness") == ()
    assert judge_title("pyiqa_brightness") == "pyiqa brightness"
    assert judges_named("niqe, pyiqa_darkness+") == ("niqe", "pyiqa_darkness+")
    assert pyiqa.made == []


def test_without_pyiqa_how_to_install_it_and_its_licence_are_told():
    with not_installed():
        assert judge_identity("pyiqa_musiq") is None
        require_pyiqa([], has_reference=False)
        with pytest.raises(
            ConfigurationError,
            match=r"installed .* got musiq, maniqa without it; `pip install pyiqa` .*Noncommercial",
        ):
            require_pyiqa(["musiq", "maniqa"], has_reference=True)


@pytest.mark.parametrize(
    ("name", "has_reference", "sentence"),
    [
        ("brightnes", True, r"got 'brightnes'; version .* has brightness"),
        ("fid", True, r"one of single images .* got 'fid'"),
        ("absolute", False, r"got 'absolute'; give corpora\.reference"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_told(pyiqa, name, has_reference, sentence):
    require_pyiqa(["absolute"], has_reference=True)
    with pytest.raises(ConfigurationError, match=sentence):
        require_pyiqa([name], has_reference=has_reference)


def test_weights_that_pyiqa_cannot_fetch_are_told(pyiqa):
    with pytest.raises(WeightsMissing, match=r"to make far, .* got OSError \(Name or service"):
        load_pyiqa("far", "cpu")


def test_psnr_of_the_package_itself_is_ours(images):
    try:
        version("pyiqa")
    except PackageNotFoundError:
        pytest.skip("pyiqa is not installed, and no dependency")
    judge = load_judge("pyiqa_psnr", "cpu")
    references = (images + 0.1).clamp(max=1)
    errors = (images - references).double().square().mean(dim=(1, 2, 3)).tolist()
    expected = [peak_signal_to_noise_ratio(error) for error in errors]
    assert judge(images, references, None) == pytest.approx(expected, rel=1e-5)
    assert judge.described.more_is_better
    assert judge.described.needs_reference
