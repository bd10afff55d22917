"""The configuration: one YAML file, parsed once into typed values."""

from tasks.config.config import Config, load_config

__all__ = ["Config", "load_config"]
