"""What a shard is made from: the inputs of its fingerprint."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.config import Config
from tasks.config.corpora import Corpus
from tasks.io.shards import part_name
from tasks.io.shards.cuts.parts import Part
from tasks.shard.corpus import source_of
from tasks.shard.image_files import SourceFile

_MADE_ANEW = 2
"""Version of what resized and cropped images keep of their files: since 2, depth and metadata."""


def origin_of_shard(tar: SourceFile, part: Part | None = None) -> str:
    """Return what an index calls the tar, or the part of one, that a shard was made from."""
    return tar.path if part is None else part_name(tar.path, part.number)


def shared_inputs(config: Config, corpus: Corpus) -> dict[str, Any]:
    """Return the inputs of the fingerprint that all shards of a corpus share."""
    strip = {} if corpus.strip is None else {"strip": corpus.strip}
    match = {} if corpus.match is None else {"replaced": [corpus.match.from_, corpus.match.to]}
    beside = {"beside": corpus.side_kinds} if corpus.side_kinds else {}
    is_made_anew = corpus.resize is not None or corpus.crop is not None
    return {
        **({"made_anew": _MADE_ANEW} if is_made_anew else {}),
        **strip,
        **match,
        **beside,
        **corpus.taken_as,
        "path": source_of(corpus).url,
        "resize": corpus.resize,
        "resize_filter": corpus.filter_used,
        "crop": corpus.crop,
        "limits": [config.shards.max_pixels, config.shards.max_bytes],
    }


def own_inputs(
    files: Sequence[SourceFile],
    corpus: Corpus,
    forgotten: Mapping[str, Sequence[str]],
    part: Part | None = None,
) -> dict[str, Any]:
    """Return the inputs of the fingerprint that a shard has for itself.

    Of a tar, these include the digests of the keys that it held when they were forgotten;
    files of a folder whose keys are forgotten are not even listed.
    """
    origin = origin_of_shard(files[0], part) if corpus.is_tars else ""
    held = (key for key, tars in forgotten.items() if corpus.is_tars and origin in tars)
    listed = hashlib.sha256(repr(files).encode()).hexdigest()
    cut = {} if part is None else {"part": part.in_fingerprints}
    return {"files": listed, "forgotten": tuple(sorted(held)), **cut}
