"""A change redoes exactly what depends on it: the ledger before and after tells."""

import os

import pytest
from workspaces.made_again import (
    AFTER_THE_FIT,
    FIDELITY,
    LATEST,
    METRICS,
    MOMENTS,
    OF_ALPHAS,
    OPERATOR,
    REPORT,
    SELECTION,
    SUMMARY,
    TARS,
    run_again,
)


def nothing(_project):
    pass


@pytest.mark.parametrize(
    ("sections", "patterns"),
    [
        pytest.param(
            {"enhance": {"format": "png"}}, {TARS, METRICS, FIDELITY, REPORT}, id="format"
        ),
        pytest.param(
            {"enhance": {"alphas": [0, 0.5, 1]}},
            {
                "enhanced/*/alpha=+1.00/*",
                "metrics/*/alpha+1.00/*",
                "reports/*/signals/alpha+1.00",
                SUMMARY,
                REPORT,
            },
            id="another alpha",
        ),
        pytest.param(
            {"enhance": {"alphas": [0, 0.5], "decoding": "direct"}},
            {TARS, *OF_ALPHAS, REPORT},  # with this codec the pixels, so the numbers, stay
            id="decoding",
        ),
        pytest.param(
            {
                "enhance": {"alphas": [0, 0.5], "seed": 1},  # the operator draws no noise
                "fit": {"seed": 1},  # all images are chosen
                "compute": {"batch": 3, "device": "cpu"},
                "shards": {"images": 3, "max_bad_fraction": 0.5},
            },
            {
                "datasets/*/index",
                "moments/tiny/selection-211fea78",  # the name of this choice, of the same images
                "moments/*/*/211fea78/*",
                SUMMARY,
                REPORT,
            },
            id="options without effect on any image",
        ),
        pytest.param(
            {"fit": {"images": 2}},
            {
                "datasets/tiny.source/shard-000000",
                "datasets/tiny.source/index",
                "moments/tiny/selection-ad9b5ac6",  # the name of this choice
                "moments/*/*/ad9b5ac6/*",
                OPERATOR,
                *AFTER_THE_FIT,
            },
            id="images fitted on, fewer of the first shard",
        ),
        pytest.param(
            {"patches": {"size": 3}}, {MOMENTS, OPERATOR, *AFTER_THE_FIT}, id="patch size"
        ),
        pytest.param(
            {"degrade": [{"kind": "noise", "sigma": 0.2}]},
            {
                "datasets/tiny*",
                "moments/tiny.source/*",
                SELECTION,
                OPERATOR,
                *AFTER_THE_FIT,
            },
            id="sigma",
        ),
        pytest.param(
            {
                "enhance": {"alphas": [0.5]},
                "evaluate": {
                    "controls": False,
                    "lpips": None,
                    "niqe": False,
                    "features": None,
                    "curve": None,
                },
            },
            # without controls there is no input to give changes against
            {"reports/*/signals/alpha+0.50", SUMMARY, REPORT},
            id="an alpha less, no controls, no curve",
        ),
        pytest.param(
            {
                "evaluate": {
                    "lpips": None,
                    "niqe": False,
                    "features": None,
                    "curve": {"step": 0.5},
                },
            },
            {"metrics/tiny/*/curve/*", "reports/tiny/*/signals/curve", SUMMARY, REPORT},
            id="a finer curve",
        ),
    ],
)
def test_a_changed_option_redoes_what_depends_on_it_and_nothing_else(complete, sections, patterns):
    redone = run_again(complete, nothing, **sections)
    assert redone.made == redone.expected(patterns)
    assert all(redone.expected([pattern]) for pattern in patterns)


def test_lpips_scores_again_but_encodes_no_image_again(complete, fake_squeezenet):
    section = {"lpips": "squeeze", "niqe": False, "features": None, "curve": {"step": 1}}
    redone = run_again(complete, nothing, evaluate=section)
    of_the_curve = redone.expected({"metrics/tiny/*/curve/*"})  # too small for LPIPS
    assert redone.made == redone.expected({METRICS, FIDELITY, SUMMARY, REPORT}) - of_the_curve
    page = next((complete.workspace / "reports").rglob("report.html")).read_text("utf-8")
    assert "LPIPS needs images of 32 pixels a side or more." in page


def test_an_image_that_is_touched_but_the_same_is_read_again_and_that_is_all(complete):
    redone = run_again(complete, lambda project: os.utime(project.folder / "reference/a/1.png"))
    assert redone.made == {"datasets/reference/shard-000000"}


def test_an_image_more_makes_a_shard_of_its_own_and_redoes_no_other(complete, draw):
    redone = run_again(complete, lambda project: draw(project.folder / "reference/a/8.png", 8))
    data_sets = {"reference/shard-000003", "reference/index", "tiny/shard-000003", "tiny/index"}
    assert redone.made == redone.expected(
        {
            *(f"datasets/{name}" for name in data_sets),
            "datasets/tiny/matches/*",
            "enhanced/*/shard-000003",
            "metrics/*/shard-000003",
            FIDELITY,
            SUMMARY,
            REPORT,
        }
    )


def test_a_changed_image_redoes_its_own_shard_only(complete, draw):
    redone = run_again(complete, lambda project: draw(project.folder / "natural/3.png", 5))
    assert redone.made == redone.expected(
        {
            "datasets/natural/shard-000001",
            "datasets/natural/index",
            "datasets/tiny.source/shard-000001",
            "datasets/tiny.source/index",
            SELECTION,
            "moments/*/shard-000001",
            OPERATOR,
            *AFTER_THE_FIT,
        }
    )


def test_a_shard_that_is_no_more_goes_from_every_data_set(complete):
    def remove(project):
        for key in ("b/6", "b/7"):
            (project.folder / f"reference/{key}.png").unlink()

    run_again(complete, remove)
    assert {name for name in complete.files() if "shard-000002" in name} == set()


def test_a_ridge_makes_another_operator_and_going_back_finds_the_first_one_done(complete):
    redone = run_again(complete, nothing, fit={"ridge": 0.01})
    assert redone.made == redone.expected({OPERATOR, *AFTER_THE_FIT})
    assert run_again(complete, nothing).made == {LATEST}


@pytest.fixture
def fake_squeezenet(tmp_path, monkeypatch):
    """Random weights where torchvision looks for SqueezeNet's."""
    import torch
    from torchvision.models import squeezenet1_1

    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(squeezenet1_1().state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
