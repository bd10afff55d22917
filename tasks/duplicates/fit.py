"""Near-duplicates among the images that an operator is about to be fitted on."""

from functools import lru_cache
from itertools import islice

from tasks.config import Config
from tasks.duplicates.hashes import hashed_images
from tasks.duplicates.pairs import in_words, near_duplicate_pairs
from tasks.fit.select import Selection
from tasks.io.errors import DotpipeError
from tasks.io.images import Limits
from tasks.io.workspace import Workspace

_Keys = tuple[tuple[str, tuple[str, ...]], ...]
"""Shards, each with keys of its images."""

_MOST = 200
"""Natural images of a fit that are looked at; of more, a few doubles weigh little."""


def duplicates_of_fit(workspace: Workspace, selection: Selection, config: Config) -> str:
    """Return which natural images of a fit are nearly the same; nothing if none are.

    Args:
        workspace: of the data sets.
        selection: the images that were chosen.
        config: of the run.

    Returns:
        a sentence; also where the images cannot be read, which the fit may not need to do.
    """
    keys = tuple((shard, tuple(chosen)) for shard, chosen in selection.target.items())
    try:
        return _told(workspace, config.natural_name, config.shards.limits(), keys)
    except (DotpipeError, OSError) as error:
        return f"near-duplicates in the fit were not looked for: {error}"


@lru_cache(maxsize=32)  # points of a study choose the same images again and again
def _told(workspace: Workspace, dataset: str, limits: Limits, keys: _Keys) -> str:
    hashed = list(islice(hashed_images(workspace, dataset, limits, dict(keys)), _MOST))
    if not (pairs := near_duplicate_pairs(hashed)):
        return ""
    told = in_words(pairs, len(hashed), "the fit")
    return f"{told}; the map leans toward what is in few images twice"
