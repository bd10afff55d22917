"""The names of steps that depend on the configuration, for pipeline, dashboard and report."""

from tasks.config.config import Config

TRAINING = "train the restorer"
"""The name of the step that trains a restorer, segment after segment."""


def data_set_step(config: Config, dataset: str) -> str:
    """Return the name of the step that makes a data set's shards.

    It is ``restore NAME`` if the images are made by degrading and restoring, else ``shard NAME``.
    """
    return f"{'restore' if dataset in config.made_datasets() else 'shard'} {dataset}"


def level_step(level: int) -> str:
    """Return the name of the step that measures activations at a level of the decoder."""
    return f"measure level {level}"


def enhancement_step(config: Config) -> str:
    """Return the name of the step that writes the enhanced images and their metrics."""
    return f"enhance {config.restored_name}"


def scoring_step(config: Config) -> str:
    """Return the name of that step where metrics alone are missing, and no images."""
    return f"score {config.restored_name}"


def features_step(config: Config) -> str:
    """Return the name of the step that extracts the features to compare the enhanced ones with."""
    return f"features of {' and '.join(config.against_names)}"
