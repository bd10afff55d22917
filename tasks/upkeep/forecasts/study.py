"""What a study would make: what its points share is counted once."""

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from tasks.config import Config
from tasks.config.step_names import (
    TRAINING,
    data_set_step,
    enhancement_step,
    features_step,
    level_step,
)
from tasks.fit.latent_size import possible_levels
from tasks.fit.select import choice_of
from tasks.study.points import Point
from tasks.upkeep.forecasts.steps import StepForecast, forecast
from tasks.upkeep.study_status import unfinished


class StudyStep(NamedTuple):
    """What a study would make of one step."""

    step: str
    times: int
    """How often it is done: once for all points that share it."""
    images: int | None
    """Images that it is done with, in all; None for a step that is not about images."""
    is_most: bool
    """Whether it may be fewer: that depends on what an earlier step makes."""
    size_bytes: float | None
    """Bytes that it writes; None where nothing like it was made before."""
    seconds: float | None
    """Time that it takes on this machine; None where nothing like it was made before."""


def forecast_study(points: Sequence[Point]) -> list[StudyStep]:
    """Return what is missing of a study, in the order of the steps.

    Of steps that several points share it is that of the one that needs the most images: samples of
    images are nested, so that one of a hundred holds one of ten.
    """
    found, order = dict[str, dict[Hashable, StepForecast]](), list[str]()
    for point in unfinished(points):
        place = 0  # in the order, after the point's step before
        for step in forecast(point.config):
            name, key = _shared(step.step, point.config)
            if name not in found:
                order.insert(place, name)
            place = order.index(name) + 1
            once = found.setdefault(name, {})
            if (step.images or 0) >= (once[key].images or 0 if key in once else 0):
                once[key] = step
    return [_added_up(name, found[name].values()) for name in order]


def _shared(step: str, config: Config) -> tuple[str, Hashable]:
    """Return the name under which a step is counted, and what those that share it are equal in."""
    sets = {data_set_step(config, dataset) for dataset in config.datasets()}
    if step in sets or step == features_step(config):
        return step, step
    if step in (TRAINING, "match the reference"):
        return step, config.restored_name
    if step == "choose images":
        return step, (config.restored_name, choice_of(config))
    images = config.source_name.partition(".source")[0], config.natural_name
    if step == "measure latent patches":
        return step, repr((config.codec, config.patch_size, config.compute.precision, images))
    if step in map(level_step, possible_levels(config)):
        return step, repr((config.codec, config.transport.level_patch, images))
    return ("enhance" if step == enhancement_step(config) else step), config.name


def _added_up(name: str, steps: Iterable[StepForecast]) -> StudyStep:
    each = list(steps)
    images = [step.images for step in each if step.images is not None]
    sizes, seconds = [s.size_bytes for s in each], [s.seconds for s in each]
    return StudyStep(
        name,
        len(each),
        sum(images) if images else None,
        any(step.is_most for step in each),
        sum(size or 0.0 for size in sizes) if any(sizes) else None,
        sum(spent or 0.0 for spent in seconds) if any(seconds) else None,
    )
