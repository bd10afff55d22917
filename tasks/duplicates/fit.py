"""Near-duplicates among the images that an operator is about to be fitted on."""

from itertools import islice

from tasks.config import Config
from tasks.duplicates.hashes import hashed_images
from tasks.duplicates.pairs import in_words, near_duplicate_pairs
from tasks.fit.select import Selection
from tasks.io.errors import DotpipeError
from tasks.io.workspace import Workspace

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
    dataset, limits = config.natural_name, config.shards.limits()
    wanted = islice(hashed_images(workspace, dataset, limits, selection.target), _MOST)
    try:
        hashed = list(wanted)
    except (DotpipeError, OSError) as error:
        return f"near-duplicates in the fit were not looked for: {error}"
    if not (pairs := near_duplicate_pairs(hashed)):
        return ""
    told = in_words(pairs, len(hashed), "the fit")
    return f"{told}; the map leans toward what is in few images twice"
