"""The configurations that a workspace serves, so that nothing of theirs is taken for waste."""

from collections.abc import Collection, Iterator

from pydantic import ValidationError

from tasks.config.config import Config
from tasks.io.errors import ConfigurationError
from tasks.io.store import Store

CONFIGURATIONS = "configurations"


def register(config: Config) -> None:
    """Note that the workspace serves a configuration; a later one of its name takes its place.

    Raises:
        ConfigurationError: another one makes a data set of the same name in another way, so
            that each would undo the other's.
    """
    store, text = Store(config.workspace), config.model_dump_json(indent=1).encode()
    for other in registered(store):
        if other.name != config.name:
            _require_same_datasets(config, other)
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
    """Forget that the workspace serves a configuration."""
    store.remove(_path(name))


def require_registered(store: Store, names: Collection[str]) -> None:
    """Check that the workspace serves configurations of these names.

    Raises:
        ConfigurationError: it serves none of one of them.
    """
    known = {path.rpartition("/")[2].removesuffix(".json") for path in store.names(CONFIGURATIONS)}
    if strangers := sorted(set(names) - known):
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"--drop must name one of the configurations {listed}, got {strangers[0]}"
        )


def _require_same_datasets(config: Config, other: Config) -> None:
    mine, theirs = _datasets(config), _datasets(other)
    for name in mine.keys() & theirs.keys():
        if mine[name] != theirs[name]:
            raise ConfigurationError(
                f"a data set must be made in one way, but {name!r} of {config.workspace} is made "
                f"otherwise by the configuration {other.name!r}; give it another name (as by "
                f"`name:` beside the corpus's path), or let that one go with `dotpipe gc CONFIG "
                f"--drop {other.name}`"
            )


def _datasets(config: Config) -> dict[str, str]:
    """What each data set is made of and with."""
    limits = repr(config.shards.limits())
    given = {
        name: repr((corpus.path, corpus.limit, corpus.resize, corpus.crop, limits))
        for name, corpus in config.given_datasets().items()
    }
    made = {
        name: repr((clean, config.degrade, config.restore))
        for name, clean in config.made_datasets().items()
    }
    return given | made


def _path(name: str) -> str:
    return f"{CONFIGURATIONS}/{name}.json"
