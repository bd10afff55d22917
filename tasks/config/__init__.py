"""The configuration of a run: a YAML file, parsed once into typed values."""

from tasks.config.config import Config, load_config
from tasks.config.run import Run

__all__ = ["Config", "Run", "load_config"]
