"""The configurations that a workspace serves, so that nothing of theirs is taken for waste."""

from collections.abc import Iterator

from pydantic import ValidationError

from tasks.config import Config
from tasks.io.errors import ConfigurationError
from tasks.io.store import Store

CONFIGURATIONS = "configurations"


def register(config: Config) -> None:
    """Note that the workspace serves a configuration; a later one of its name takes its place."""
    store, text = Store(config.workspace), config.model_dump_json(indent=1).encode()
    path = _path(config.name)
    try:
        known = store.read(path)
    except FileNotFoundError:
        known = b""
    if known != text:
        store.write(path, text)


def registered(store: Store) -> Iterator[Config]:
    """The configurations that a workspace serves, by name.

    Raises:
        ConfigurationError: one of them is of another version of this software.
    """
    for path in sorted(store.names(CONFIGURATIONS)):
        try:
            yield Config.model_validate_json(store.read(path))
        except ValidationError as error:
            name = path.rpartition("/")[2].removesuffix(".json")
            raise ConfigurationError(
                f"the configuration {name!r} that the workspace serves must be of this version, "
                f"got one that it does not know; run it again, or drop it with --drop {name}"
            ) from error


def drop(store: Store, name: str) -> None:
    """Forget that the workspace serves a configuration.

    Raises:
        ConfigurationError: it serves none of this name.
    """
    if not store.exists(_path(name)):
        known = [path.rpartition("/")[2] for path in store.names(CONFIGURATIONS)]
        names = ", ".join(sorted(file.removesuffix(".json") for file in known)) or "none"
        raise ConfigurationError(f"--drop must name one of the configurations {names}, got {name}")
    store.remove(_path(name))


def _path(name: str) -> str:
    return f"{CONFIGURATIONS}/{name}.json"
