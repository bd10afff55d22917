"""What a run is going to make is said before it, with the reason, the room and the time."""

import shutil

import pytest

from tasks.upkeep.forecasts.steps import forecast


def of(config):
    """By step, each of which is said once."""
    found = list(forecast(config))
    steps = {step.step: step for step in found}
    assert len(steps) == len(found)
    return steps


def changed(run, **sections):
    tree = run.config.model_dump()
    for name, section in sections.items():
        tree[name] = tree[name] | section
    return type(run.config).model_validate(tree)


def test_of_a_finished_run_nothing_is_made(finished):
    assert of(finished.config) == {}


def test_of_a_first_run_all_is_made_and_no_speed_is_known(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    steps_ = of(steps(tmp_path / "workspace", corpora).config)
    assert [*steps_][:2] == ["shard reference", "shard run"]
    assert steps_["shard run"][1:] == (8, False, None, None, "nothing has been made yet")
    assert steps_["measure latent patches"].images == 16
    assert steps_["enhance run"].images == 8
    assert steps_["report"].images is None


def test_what_cannot_be_planned_says_why(tmp_path, steps, photographs):
    corpora = {"restored": tmp_path / "nowhere", "reference": photographs["natural"]}
    steps_ = of(steps(tmp_path / "workspace", corpora).config)
    assert "nowhere', which is none" in steps_["shard run"].why
    assert steps_["shard reference"].why == "nothing has been made yet"


def test_an_option_makes_only_what_depends_on_it_again(finished):
    steps_ = of(changed(finished, enhance={"format": "png"}))
    again = steps_["enhance run"]
    assert (again.images, again.is_most, again.why) == (8, False, "format (webp → png) changed")
    assert again.size_bytes > 8 * 3 * 100  # three alphas
    assert again.seconds > 0
    assert "shard run" not in steps_
    assert "measure latent patches" not in steps_


def test_a_map_of_two_dials_takes_longer_as_its_points_are_more(
    steps, photographs, tmp_path, squeezenet_weights
):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    curve = {"start": -1, "stop": 1, "step": 0.5}
    seen = {"features": "squeezenet", "curve": {**curve, "low_shares": [0]}}
    run = steps(tmp_path / "w", corpora, evaluate=seen)
    run.run()
    again = {"enhance": {"format": "png"}}

    def seconds(**evaluate):
        return of(changed(run, evaluate=evaluate, **again))["enhance run"].seconds

    times = {  # versions that are seen: three alphas, three controls, five points a share
        shares: seconds(curve={**curve, "low_shares": shares}) for shares in ((), (0,), (0, 0.5, 1))
    }
    assert times[()] < times[(0,)] < times[(0, 0.5, 1)]
    a_share = times[(0, 0.5, 1)] - times[(0,)]
    assert a_share == pytest.approx(2 * (times[(0,)] - times[()]))
    on_curve = seconds(curve={**curve, "low_shares": [0], "networks": True})
    assert on_curve - times[(0,)] == pytest.approx(a_share / 2)


@pytest.mark.parametrize("beyond", [None, 0.1])
def test_one_new_image_may_have_all_enhanced_again_unless_the_operator_is_kept(
    finished, photographs, tmp_path, pixels, softened, write_images, beyond
):
    corpora = {}
    for role, name in (("restored", "restored"), ("reference", "natural")):
        corpora[role] = {"path": str(shutil.copytree(photographs[name], tmp_path / name))}
    write_images(tmp_path / "restored", {"a/new.png": softened(pixels(99))})
    config = changed(finished, corpora=corpora, fit={"refit_beyond": beyond})
    steps_ = of(config)
    again = steps_["enhance run"]
    assert again.images >= 8
    assert again.is_most
    assert "'shard reference' comes first" in again.why
    assert ("`fit.refit_beyond` avoids it" in again.why) == (beyond is None)
    assert ("stays unless the statistics move" in again.why) == (beyond is not None)
