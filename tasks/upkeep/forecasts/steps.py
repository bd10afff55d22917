"""Forecast: what a run is going to make, and about how much room and time that takes.

What is made is known from the ledger, as the status tells it. How much room and time that takes is
taken from the records of what was made before: bytes and seconds of an image.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from tasks.config import Config, step_names
from tasks.config.step_names import (
    data_set_step,
    enhancement_step,
    features_step,
    further_moment_steps,
    level_step,
    round_step,
)
from tasks.enhance.curves.seen import seconds_of_more_versions
from tasks.fit.latent_size import possible_levels
from tasks.io.ledger import Ledger
from tasks.io.machine.devices import count_devices
from tasks.io.machine.resources import cores
from tasks.io.workspace import SUMS, Workspace, dataset_folder
from tasks.upkeep.changes import SAMPLE
from tasks.upkeep.status import StepStatus, status_of_steps


class StepForecast(NamedTuple):
    """What a run is going to make of one step."""

    step: str
    images: int | None
    """Images that it is done with; None for a step that is not about images."""
    is_most: bool
    """Whether it may be fewer: that depends on what an earlier step makes."""
    size_bytes: float | None
    """Bytes that it writes, where any were made before; they replace what is there already."""
    seconds: float | None
    """Time that it takes on this machine, where any were made before."""
    why: str


def forecast(config: Config) -> Iterator[StepForecast]:
    """Yield what a run is going to make, step by step; steps with nothing to do are left out.

    One that cannot be planned, as of a corpus that is not there, has its error for a reason.
    """
    ledger, statuses = Workspace(config.workspace).ledger, list(status_of_steps(config))
    images = {status.name: status.images for status in statuses if not status.waits}
    fresh = not any(status.done or status.doubtful or status.stale for status in statuses)
    for status in statuses:
        to_do = status.missing + status.stale + status.failed
        is_most = status.waits or status.doubtful > 0
        if not to_do and not is_most:
            if status.note:
                yield StepForecast(status.name, None, False, None, None, status.note)
            continue
        most = _images_of(status, config, images) if is_most else status.images_to_do
        made = most - status.images_to_measure  # records do not tell how long the others take
        pace = _Pace.of(config, status.name, ledger) if made or not most else _Pace()
        yield StepForecast(
            status.name,
            most or None,
            is_most and not fresh,
            pace.bytes_of(made),
            pace.seconds_of(made),
            "nothing has been made yet" if fresh else _why(status, config, statuses),
        )


def _images_of(status: StepStatus, config: Config, images: dict[str, int]) -> int:
    """Return how many images a step can come to be about, as far as data sets are known."""

    def of(dataset: str) -> int:
        origin = config.made_datasets().get(dataset, dataset)
        return max(images.get(data_set_step(config, each), 0) for each in (dataset, origin))

    enhanced = of(config.restored_name)
    sides = (config.source_name, config.natural_name)
    restored, natural = (min(config.fit.images, of(each)) for each in sides)
    measured = restored + natural
    by_name = {
        step_names.TRAINING: images.get(step_names.TRAINING, 0),
        round_step(0): measured,
        **{level_step(level): measured for level in possible_levels(config)},
        **dict.fromkeys(further_moment_steps(config, possible_levels(config)), restored),
        enhancement_step(config): enhanced,
        features_step(config): sum(map(of, config.against_names)),
        **{data_set_step(config, dataset): of(dataset) for dataset in config.datasets()},
    }
    if config.source_name != config.restored_name:  # of which the fit chooses some
        name = data_set_step(config, config.source_name)
        by_name[name] = min(config.fit.images, by_name[name])
    return max(status.images, by_name.get(status.name, 0)) if status.name in by_name else 0


def _why(status: StepStatus, config: Config, statuses: Sequence[StepStatus]) -> str:
    """Return why a step has something to do, and what would spare it."""
    if status.stale or status.failed:
        why = "; ".join([*status.reasons, *status.failures]) or "it has failed"
        is_light = 0 < status.images_to_measure == status.images_to_do
        return (
            f"{why}; measured on the written images, without the auto-encoder" if is_light else why
        )
    if not (status.waits or status.doubtful):
        return "new images" if status.images and status.done else "not made yet"
    opened = [each.name for each in statuses if each.missing or each.stale or each.failed]
    first = f"{opened[0]!r} comes first" if opened else "an earlier step comes first"
    is_refit = any(
        each.waits or each.doubtful or each.missing or each.stale or each.failed
        for each in statuses
        if each.command == "fit"
    )
    if status.name != enhancement_step(config) or not is_refit:
        return f"{first}, and may change what goes in"
    if config.fit.refit_beyond is not None:
        return f"{first}; the operator stays unless the statistics move by fit.refit_beyond"
    return (
        f"{first}; if the images that the fit chooses change, the operator does, and all images "
        "are enhanced again; `fit.refit_beyond` avoids it"
    )


_OTHERS = frozenset({"matches", SUMS})
"""Folders of artifacts that bear the name of a shard, but are not what the step makes of it."""


class _Pace(NamedTuple):
    """Bytes and seconds that an image of a step took before; None where none was made."""

    size_bytes: float | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, config: Config, step: str, ledger: Ledger) -> "_Pace":
        """Return them from some records of what the step has made, whatever from."""
        folders = _folders(config).get(step, ())
        records = (
            record
            for folder in folders
            for survey in (ledger.survey(folder),)
            for name in survey.artifacts()
            for record in survey.records(name)
            if ("/shard-" in name or "/segment-" in name)
            and _OTHERS.isdisjoint(name.split("/")[2:])
        )
        known: list[dict[str, Any]] = [
            facts for record in islice(records, SAMPLE) if (facts := ledger.facts(record))
        ]
        images = sum(facts.get("images", 0) for facts in known)
        if not images:
            return cls()
        size = sum(file["size"] for facts in known for file in facts["files"].values()) / images
        spent = sum(sum(facts.get("laps", {}).values()) for facts in known) / images
        if step == enhancement_step(config):  # a record is of one alpha, its laps are of all
            size *= len(config.enhance.alphas)
            spent += seconds_of_more_versions(config, ledger, known) / images
        if step == features_step(config):  # a record is of one network, its laps are its share
            size *= len(config.evaluate.networks)
            spent *= len(config.evaluate.networks)
        return cls(size, spent / _lanes(config, step) if spent else None)

    def bytes_of(self, images: int) -> float | None:
        """Return the bytes that so many images take."""
        return None if self.size_bytes is None else images * self.size_bytes

    def seconds_of(self, images: int) -> float | None:
        """Return the seconds that so many images take."""
        return None if self.seconds is None else images * self.seconds


def _folders(config: Config) -> dict[str, list[str]]:
    """Return where records lie of what each step makes of shards."""
    folders = {data_set_step(config, each): [dataset_folder(each)] for each in config.datasets()}
    measured = dict.fromkeys([config.source_name, config.natural_name])
    moments = [f"moments/{each}" for each in measured]
    return folders | {
        step_names.TRAINING: [f"restorers/{config.restored_name}"],
        round_step(0): moments,
        **{level_step(level): moments for level in possible_levels(config)},
        **dict.fromkeys(further_moment_steps(config, possible_levels(config)), moments),
        enhancement_step(config): [f"enhanced/{config.restored_name}"],
        features_step(config): [f"features/{each}" for each in config.against_names],
    }


def _lanes(config: Config, step: str) -> int:
    """Return how many shards are done at once on this machine."""
    compute = config.compute
    if step == step_names.TRAINING:
        return 1
    if compute.shards_at_once is not None:
        return compute.shards_at_once
    copies = [data_set_step(config, dataset) for dataset in config.given_datasets()]
    return cores() if step in copies else count_devices(compute.device)
