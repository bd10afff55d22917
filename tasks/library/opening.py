"""Which configuration is meant: a file, its sections, or one that a workspace knows."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from tasks.config import Config, load_config
from tasks.config.places import anchored
from tasks.config.registry import names_registered, read_registered
from tasks.config.yaml_file import config_of
from tasks.io.errors import ConfigurationError
from tasks.io.store import Store
from tasks.library.finished_run import FinishedRun


def open_run(source: "str | PathLike[str]", name: str | None = None) -> FinishedRun:
    """Return a finished run, to read what it has made; nothing is written or computed.

    Args:
        source: the YAML file of a configuration (``.yaml`` or ``.yml``), or a workspace: a folder,
            or a URL such as ``s3://bucket/prefix``. A workspace may have been moved or copied.
        name: which configuration of a workspace, where several have written to it.

    Raises:
        ConfigurationError: the file cannot be read or breaks a rule, or no workspace is there, or
            it is not known which of its configurations is meant.
        StepMissing: the run is not finished.
        WeightsMissing: the codec is one from a folder, and is not on this machine: whether the run
            is finished is told by the digest of its weights too.
    """
    word = fspath(source)
    is_file = "://" not in word and Path(word).is_file()
    if word.lower().endswith((".yaml", ".yml")) or is_file:
        config = load_config(Path(word))
        if name not in (None, config.name):
            raise ConfigurationError(f"name must be {config.name!r}, as in {word}, got {name!r}")
        return FinishedRun.of(config)
    return FinishedRun.of(_of_workspace(anchored(word, Path.cwd(), "source"), name))


def configuration_of(file: "str | PathLike[str]") -> Config:
    """Return the configuration of a YAML file.

    Raises:
        ConfigurationError: it cannot be read, or breaks a rule.
    """
    return load_config(Path(fspath(file)))


def write_sections(sections: Mapping[str, Any], folder: "str | PathLike[str]") -> Path:
    """Write the configuration of sections by their names as a YAML file; its paths are absolute.

    So whoever reads the file, in this process or another, understands the same.

    Args:
        sections: ``name`` among them; relative paths count from the working folder.
        folder: that the file goes into.

    Raises:
        ConfigurationError: they have no name, or break a rule.
    """
    if "name" not in sections:
        raise ConfigurationError("sections must have a name, as no file gives them one")
    config = config_of(sections, Path("the sections"))
    file = Path(folder) / f"{config.name}.yaml"
    file.write_text(config.model_dump_json(), encoding="utf-8")  # JSON is YAML
    return file


def _of_workspace(url: str, name: str | None) -> Config:
    """Return the configuration that last ran in a workspace, or one of several by its name."""
    store = Store(url)
    names = names_registered(store)
    if not names:
        raise ConfigurationError(
            f"a run must be opened by the YAML file of its configuration, or by its workspace, got "
            f"{url!r}, in which no run has written"
        )
    if name is None and len(names) > 1:
        raise ConfigurationError(
            f"name must say which run of {url!r} is meant, got none of {', '.join(names)}"
        )
    wanted = names[0] if name is None else name
    if wanted not in names:
        raise ConfigurationError(f"name must be one of {', '.join(names)}, got {wanted!r}")
    return read_registered(store, wanted).model_copy(update={"workspace": url})
