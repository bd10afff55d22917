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
    round_step,
    solving_step,
)
from tasks.fit.latent_size import latent_size, possible_levels
from tasks.fit.measurement_plan import keeps_latents
from tasks.fit.select import choice_of
from tasks.fit.statistics import between_rounds
from tasks.io.networks.weights import Weights
from tasks.study.points import Point
from tasks.upkeep.forecasts.room import in_bytes
from tasks.upkeep.forecasts.steps import StepForecast, forecast
from tasks.upkeep.study_status import unfinished

_FOR_FITS = ".source"
"""What names of data sets that are restored for fits alone have after that of the images to
enhance. In a study there is one for each choice, and an image that several choose is restored once.
"""

_FLOAT32 = 4
"""Bytes of a number."""


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


def latents_in_words(points: Iterable[Point]) -> str:
    """Return a sentence on the room that latents kept for the fits take; empty where none are."""
    sizes = (
        latent_size(point.config.codec, Weights.of(point.config.weights))
        for point in points
        if keeps_latents(point.config)
    )
    shares = [_FLOAT32 * size.channels / size.factor**2 for size in sizes if size is not None]
    if not shares:
        return ""
    return f"latents kept for the fits take up to {in_bytes(max(shares) * 1e6)} a megapixel"


def _shared(step: str, config: Config) -> tuple[str, Hashable]:
    """Return the name under which a step is counted, and what those that share it are equal in."""
    choice = config.fit.seed, config.pairing
    is_of_source = step == data_set_step(config, config.source_name)
    if is_of_source and config.source_name != config.restored_name:
        return f"restore {config.restored_name}{_FOR_FITS}", choice
    sets = {data_set_step(config, dataset) for dataset in config.datasets()}
    if step in sets or step == features_step(config):
        return step, step
    if step in (TRAINING, "match the reference", "choose images"):
        chosen = choice_of(config) if step == "choose images" else None
        return step, (config.restored_name, chosen)
    images = config.restored_name, config.natural_name, choice
    if step == round_step(0):
        size = None if keeps_latents(config) else config.patch_size
        return step, repr((config.codec, size, config.compute.precision, images))
    if step in _of_operators(config):
        kinds = config.codec, config.patch_size, config.patches.fold, config.compute.precision
        return step, repr((*kinds, config.fit, config.transport, images, _moved(step, config)))
    return ("enhance" if step == enhancement_step(config) else step), config.name


def _of_operators(config: Config) -> set[str]:
    """Return the steps that measure and solve maps after the first measurement, of all rounds."""
    levels, rounds = possible_levels(config), range(config.reapply + 1)
    found = {solving_step(number, level) for number in rounds for level in (None, *levels)}
    found |= {level_step(level, number) for number in rounds for level in levels}
    return found | {round_step(number) for number in rounds[1:]}


def _moved(step: str, config: Config) -> Hashable:
    """Return how images of rounds after the first are moved before."""
    is_first = " of round " not in step
    return None if is_first else repr(between_rounds(config))


def _added_up(name: str, steps: Iterable[StepForecast]) -> StudyStep:
    each = list(steps)
    images = [step.images for step in each if step.images is not None]
    may_overlap = len(each) > 1 and (name == round_step(0) or name.endswith(_FOR_FITS))
    sizes, seconds = [s.size_bytes for s in each], [s.seconds for s in each]
    return StudyStep(
        name,
        len(each),
        sum(images) if images else None,
        any(step.is_most for step in each) or may_overlap,
        sum(size or 0.0 for size in sizes) if any(sizes) else None,
        sum(spent or 0.0 for spent in seconds) if any(seconds) else None,
    )
