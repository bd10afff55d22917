"""The configurations that use a workspace, each kept there as a file.

They say which data sets are still needed, so that ``dotpipe gc`` deletes nothing that belongs to
one of them.
"""

from collections.abc import Collection, Iterator

from pydantic import ValidationError

from tasks.config.config import Config
from tasks.config.corpora import Corpus
from tasks.io.errors import ConfigurationError
from tasks.io.store import Store
from tasks.io.workspace import MARK

CONFIGURATIONS = "configurations"
"""Folder of the workspace that holds one JSON file for each configuration."""

_MARKED = b"A workspace of dotpipe: corpora around this folder leave it out.\n"
"""What the mark of a workspace says to people."""


def register(config: Config) -> None:
    """Write a configuration into its workspace, in place of an earlier one of the same name.

    Raises:
        ConfigurationError: another configuration makes a data set of the same name in another
            way, so that each would overwrite the other's; or cannot be read by this version.
    """
    store, text = Store(config.workspace), config.model_dump_json(indent=1).encode()
    for other in registered(store, without=[config.name]):
        _require_same_datasets(config, other)
    if not store.exists(MARK):
        store.write(MARK, _MARKED)
    path = _path(config.name)
    try:
        known = store.read(path)
    except FileNotFoundError:
        known = b""
    if known != text:
        store.write(path, text)


def taken_over(config: Config) -> list[str]:
    """Return a sentence for each data set that a configuration of this name last made otherwise.

    That may be the same file, which was edited, or another one with the same ``name:``.
    """
    try:
        known = Config.model_validate_json(Store(config.workspace).read(_path(config.name)))
    except (FileNotFoundError, ValidationError):  # none, or one of another version
        return []
    mine, theirs = _datasets(config), _datasets(known)
    return [
        f"the data set {name!r} of {config.workspace} was made otherwise when a configuration of "
        f"the name {config.name!r} last ran, {_difference(known, config, name)}: its shards are "
        "replaced, and all that follows from them. If that was another file, stop, and "
        "give this one a `name:` of its own"
        for name in mine
        if theirs.get(name, mine[name]) != mine[name]
    ]


def registered(store: Store, without: Collection[str] = ()) -> Iterator[Config]:
    """Yield the configurations that use a workspace, in the order of their names.

    Args:
        store: of the workspace.
        without: names of those that are not read, whatever they hold.

    Raises:
        ConfigurationError: one of them was written by another version of this software, and
            cannot be read by this one.
    """
    yield from (read_registered(store, n) for n in names_registered(store) if n not in without)


def served_by(store: Store, config: Config, dropped: Collection[str] = ()) -> list[Config]:
    """Return all configurations that a workspace serves: the given one first, as it is now.

    Args:
        store: of the workspace.
        config: one of them, which may not have been run yet.
        dropped: names of those that are left out, also if this version cannot read them.

    Raises:
        ConfigurationError: one of the others cannot be read by this version.
    """
    others = list(registered(store, without=[config.name, *dropped]))
    return others if config.name in dropped else [config, *others]


def names_registered(store: Store) -> list[str]:
    """Return the names of the configurations that use a workspace, sorted."""
    return sorted(_name_of(path) for path in store.names(CONFIGURATIONS))


def read_registered(store: Store, name: str) -> Config:
    """Return the configuration of this name that uses a workspace, as it last ran.

    Raises:
        ConfigurationError: it was written by another version of this software, and cannot be read
            by this one.
    """
    try:
        return Config.model_validate_json(store.read(_path(name)))
    except ValidationError as error:
        raise ConfigurationError(
            f"the configuration {name!r} that the workspace serves must be of this version, "
            f"got one that it does not know; run it again, or drop it with --drop {name}"
        ) from error


def drop(store: Store, name: str) -> None:
    """Remove a configuration from those that use a workspace; no error if it is not there."""
    store.remove(_path(name))


def require_registered(store: Store, names: Collection[str]) -> None:
    """Check that configurations of these names use the workspace.

    Raises:
        ConfigurationError: one of the names belongs to no configuration there.
    """
    known = set(names_registered(store))
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
    """Return what each data set is made from, and how, as a text to compare."""
    limits = repr(config.shards.limits())
    given = {
        name: repr((corpus.path, _named_by(corpus), corpus.limit, _size(corpus), limits))
        for name, corpus in config.given_datasets().items()
    }
    made = {
        name: repr((origin, config.degrade, config.restore))
        for name, origin in config.made_datasets().items()
    }
    return given | made


def _named_by(corpus: Corpus) -> tuple[object, ...]:
    return corpus.strip, corpus.match, corpus.side_kinds


def _size(corpus: Corpus) -> tuple[int | str | None, ...]:
    return corpus.resize, corpus.filter_used, corpus.crop, corpus.colour, corpus.frames


def _difference(known: Config, config: Config, dataset: str) -> str:
    """Return in words how a data set was made by the former configuration, and is made now."""
    before, now = _source(known, dataset), _source(config, dataset)
    if before == now:
        return f"from {now} as now, but with other options"
    return f"from {before}, and is now made from {now}"


def _source(config: Config, dataset: str) -> str:
    """Return where the images of a data set come from: a path, or the data set they start from."""
    corpus = config.given_datasets().get(dataset)
    return repr(config.made_datasets()[dataset] if corpus is None else corpus.path)


def _name_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _path(name: str) -> str:
    return f"{CONFIGURATIONS}/{name}.json"
