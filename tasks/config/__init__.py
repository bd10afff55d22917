"""The configuration of a run: a YAML file, parsed once into typed values."""

from tasks.config.config import Config
from tasks.config.run import Run
from tasks.config.yaml_file import load_config

__all__ = ["Config", "Run", "load_config"]
