"""Whether restored images and their ground truth go by the same keys, known before any work.

Where they do not, the end of the names is found that would make them agree, as ``_swinir`` in
``kodim01_swinir``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from tasks.config import Config
from tasks.config.corpora import Corpus
from tasks.config.places import apart_from
from tasks.io.errors import CorpusError
from tasks.shard.corpus import list_files

MANY = 10_000
"""Keys of a corpus that are looked at, at most, for an end that would make them agree."""


class Ending(NamedTuple):
    """An end of names, and how many keys two corpora share without it."""

    text: str
    of_ours: bool
    """Whether our names have it, and not the others'."""
    shared: int


def require_shared_keys(config: Config) -> None:
    """Check that some restored image has a ground truth, where both are folders.

    Where more files are there than are looked at, and none of these has one, nothing is said:
    the match will tell.

    Raises:
        CorpusError: none has; the text says which end of the names is in the way, if one is.
    """
    restored, reference = config.corpora.restored, config.corpora.reference
    if restored is None or reference is None or restored.is_tars or reference.is_tars:
        return
    ours, theirs = (list(_keys(config, corpus)) for corpus in (restored, reference))
    if not ours or not theirs or not set(ours).isdisjoint(theirs):
        return
    ending = ending_between(ours, theirs)
    if ending is None and MANY in (len(ours), len(theirs)):
        return
    remedy = "rename the files, or leave out corpora.reference"
    if ending is not None:
        role = "restored" if ending.of_ours else "reference"
        remedy = (
            f"{ending.shared} would be without {ending.text!r} at the end: write "
            f"`strip: {ending.text}` beside the path of corpora.{role}"
        )
    raise CorpusError(
        "reference must share keys (paths without extension) with the restored images, got none in "
        f"common: {ours[0]!r} against {theirs[0]!r}; {remedy}"
    )


def ending_between(ours: Iterable[str], theirs: Iterable[str]) -> Ending | None:
    """Return the end of names without which two sets of keys have most in common, if any does.

    Args:
        ours: keys, of which ``MANY`` are looked at.
        theirs: keys that should be the same.

    Returns:
        None if keys are in common already, or none would be.
    """
    mine, others = set(islice(ours, MANY)), set(islice(theirs, MANY))
    if mine & others:
        return None
    ends = [(end, True) for end in _ends(mine, others)] + [
        (end, False) for end in _ends(others, mine)
    ]
    if not ends:
        return None
    (text, of_ours), shared = Counter(ends).most_common(1)[0]
    return Ending(text, of_ours, shared)


def _ends(longer: Iterable[str], shorter: set[str]) -> Iterable[str]:
    """Yield what some keys have behind others."""
    for key in longer:
        start = key.rfind("/") + 2  # something of the name must be left
        yield from (key[cut:] for cut in range(start, len(key)) if key[:cut] in shorter)


def _keys(config: Config, corpus: Corpus) -> Iterator[str]:
    """Yield the first keys of a folder, as many as are looked at."""
    apart = apart_from(corpus, config.workspace, config.corpora)
    files = list_files(corpus, {}, apart)
    return (file.key for file in islice(files, min(MANY, corpus.limit or MANY)))
