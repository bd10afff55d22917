"""Where an export goes: a folder or bucket that must be neither input nor workspace."""

from tasks.config import Config
from tasks.config.places import Place, folder_of
from tasks.io.errors import ConfigurationError
from tasks.io.store import require_writable


def require_outside(destination: str, config: Config) -> None:
    """Check that an export lies apart from the corpora and the workspace.

    So no original can be overwritten, and nothing that is written comes back as input.

    Args:
        destination: folder or URL, absolute.
        config: whose images are exported.

    Raises:
        ConfigurationError: it is, lies in, or holds one of the corpora; or it is or lies in the
            workspace, or on the Hub.
    """
    place = Place.of(require_writable(destination))
    for corpus in config.given_datasets().values():
        other = folder_of(corpus)
        if other.holds(place) or place.holds(other):
            raise ConfigurationError(
                "the folder to write to must lie apart from the images that are read, got "
                f"{destination!r} and {corpus.path!r}; name one that is neither in the other"
            )
    if Place.of(config.workspace).holds(place):
        raise ConfigurationError(
            f"the folder to write to must lie outside of the workspace, got {destination!r} in "
            f"{config.workspace!r}, where `dotpipe gc` cleans up; name another"
        )
