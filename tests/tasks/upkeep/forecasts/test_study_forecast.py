"""The forecast of a study: in the order of its steps, and what points share counted once."""

from workspaces.plain_pipeline import do
from workspaces.studies import study_in

from tasks.config import Run
from tasks.study.points import points_of
from tasks.upkeep.forecasts.study import forecast_study, latents_in_words


def test_steps_come_in_their_order_and_shared_ones_once(tmp_path, photographs):
    grid = {"patches.size": (1, 3), "fit.images": (4, 6)}
    study = study_in(tmp_path, photographs, grid)
    points = points_of(study)
    assert latents_in_words(points) == ""  # the pixel codec takes no time
    steps = forecast_study(points)
    times = {step.step: step.times for step in steps}
    assert times["restore s"] == times["restore s.source"] == times["match the reference"] == 1
    assert times["choose images"] == times["measure latent patches"] == 2
    assert times["enhance"] == times["report"] == 4
    names = [step.step for step in steps]
    made = [names.index(name) for name in ("restore s.source", "choose images", "report")]
    assert made == sorted(made)
    assert made[-1] == len(names) - 1


def test_images_of_fits_are_counted_once_for_all_numbers_and_latents_for_all_sizes(
    tmp_path, photographs
):
    grid = {"patches.size": (1, 3), "fit.images": (2, 4), "fit.pairing": ("paired", "unpaired")}
    codec = {"kind": "taef2", "weights": str(tmp_path)}
    points = points_of(study_in(tmp_path, photographs, grid, codec=codec))
    assert latents_in_words(points) == "latents kept for the fits take up to 2.0 MB a megapixel"
    for point in points:
        do(Run.of(point.config), lambda step: step.verb == "shard")
    steps = {step.step: step for step in forecast_study(points)}
    restored, measured = steps["restore s.source"], steps["measure latent patches"]
    assert (restored.times, restored.images, restored.is_most) == (2, 8, True)
    assert (measured.times, measured.images, measured.is_most) == (2, 16, True)
