"""The names of steps that depend on the configuration, for pipeline, dashboard and report."""

from collections.abc import Iterable

from tasks.config.config import Config

TRAINING = "train the restorer"
"""The name of the step that trains a restorer, segment after segment."""

ADD_UP = "add up features"
"""The name of the step that adds up the features of many shards, where a data set is large."""

_SCAN = "scan "


def data_set_step(config: Config, dataset: str) -> str:
    """Return the name of the step that makes a data set's shards.

    It is ``restore NAME`` if the images are made by degrading and restoring, else ``shard NAME``.
    """
    return f"{'restore' if dataset in config.made_datasets() else 'shard'} {dataset}"


def scan_step(dataset: str) -> str:
    """Return the name of the step that finds where large tars of a data set are cut."""
    return f"{_SCAN}{dataset}"


def is_scan(step: str) -> bool:
    """Return whether a step, by its name, finds where tars are cut."""
    return step.startswith(_SCAN)


def units_in_words(step: str) -> str:
    """Return what the units of a step are called, by its name."""
    if step == TRAINING:
        return "segments"
    if step == ADD_UP:
        return "groups of shards"
    return "tars" if is_scan(step) else "shards"


def level_step(level: int, number: int = 0) -> str:
    """Return the name of the step that measures activations at a level of the decoder in a round.

    Args:
        level: of the decoder.
        number: of the round, from 0.
    """
    return f"measure level {level}{_of_round(number)}"


def round_step(number: int) -> str:
    """Return the name of the step that measures latents in a round, from 0."""
    return f"measure latent patches{_of_round(number)}"


def solving_step(number: int, level: int | None = None) -> str:
    """Return the name of the step that solves a map: of latents, or of a level, in a round."""
    what = "the operator" if level is None else f"level {level}"
    return f"solve {what}{_of_round(number)}"


def further_moment_steps(config: Config, levels: Iterable[int]) -> list[str]:
    """Return the names of the steps that measure restored images in rounds after the first.

    Args:
        config: says how often the method is applied again.
        levels: of the decoder that are moved.
    """
    found, moved = list[str](), tuple(levels)
    for number in range(1, config.reapply + 1):
        found += [round_step(number), *(level_step(level, number) for level in moved)]
    return found


def _of_round(number: int) -> str:
    return f" of round {number + 1}" if number else ""


def enhancement_step(config: Config) -> str:
    """Return the name of the step that writes the enhanced images and their metrics."""
    return f"enhance {config.restored_name}"


def scoring_step(config: Config) -> str:
    """Return the name of that step where metrics alone are missing, and no images."""
    return f"score {config.restored_name}"


def features_step(config: Config) -> str:
    """Return the name of the step that extracts the features to compare the enhanced ones with."""
    return f"features of {' and '.join(config.against_names)}"
