"""The names of steps, as the pipeline, the dashboard and the report have them."""

from tasks.config.config import Config


def data_set_step(config: Config, dataset: str) -> str:
    """The step that makes the shards of a data set: ``restore NAME`` if its images are made."""
    return f"{'restore' if dataset in config.made_datasets() else 'shard'} {dataset}"


def enhancement_step(config: Config) -> str:
    """The pass of the network that writes the enhanced images and scores them."""
    return f"enhance {config.restored_name}"


def scoring_step(config: Config) -> str:
    """The same pass where only metrics are missing."""
    return f"score {config.restored_name}"


def features_step(config: Config) -> str:
    """The features of the images that the enhanced ones are compared with."""
    return f"features of {config.against_name}"
