"""A look at a corpus before it is sharded: its names, and a few of its images."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Literal, NamedTuple

from tasks.config import Config
from tasks.config.corpora import Corpus
from tasks.config.patches import too_few
from tasks.config.places import apart_from
from tasks.fit.latent_size import FittedPatches, patches_of_fit
from tasks.io.errors import ConfigurationError
from tasks.io.shards import Accepted, Refused
from tasks.io.workspace import Workspace
from tasks.shard.corpus import list_files, require_sources, source_of
from tasks.shard.image_files import SourceFile
from tasks.shard.intake import accept_files
from tasks.shard.shard import without_images
from tasks.shard.suffixes import ending_between, folder_between

FIRST = 1000
"""Names of a corpus that are looked at."""

OPENED = 8
"""Images of a corpus that are opened, spread over these names."""

Doubt = Literal["poor", "bad"]


class Look(NamedTuple):
    """What a look at a corpus has found."""

    config: Config
    dataset: str
    corpus: Corpus
    files: tuple[SourceFile, ...]
    """The first ones; of tars, the first tars."""
    is_all: bool
    """Whether there are no others."""
    images: tuple[Accepted, ...]
    """Images that were opened and accepted, without their bytes, as large as in the shards."""
    refused: tuple[Refused, ...]
    """Images that were opened and refused."""
    rest: list[Iterator[SourceFile]]
    """The listing behind the first ones, for whoever goes through it first: a large folder takes
    minutes to list."""

    def told(self) -> str:
        """Return in words what there is."""
        what = "tars" if self.corpus.is_tars else "images"
        count = f"{len(self.files)} {what}" if self.is_all else f"more than {FIRST} {what}"
        sizes = sorted({(image.width, image.height) for image in self.images})
        shown = ", ".join(f"{width}×{height}" for width, height in sizes[:3])
        more = " and other sizes" if sizes[3:] else ""
        return f"{count}{f', of {shown}{more} pixels' if shown else ''}"


def look_at(config: Config, dataset: str, corpus: Corpus) -> Look:
    """Return what a look at a corpus finds.

    Raises:
        CorpusError: it is not there, or has no images.
        DotpipeError: it cannot be read.
    """
    require_sources({dataset: corpus})
    listing = _files(config, corpus)
    listed = list(islice(listing, FIRST + 1))
    files = tuple(listed[:FIRST])
    if not files:
        raise without_images(dataset, corpus)
    chosen = () if corpus.is_tars else files[:: -(-len(files) // OPENED)]
    images, refused = list[Accepted](), list[Refused]()
    for image in accept_files(source_of(corpus), chosen, corpus, config.shards.limits()):
        if isinstance(image, Refused):
            refused.append(image)
        else:
            images.append(dataclasses.replace(image, data=b""))
    return Look(
        config,
        dataset,
        corpus,
        files,
        len(listed) <= FIRST,
        tuple(images),
        tuple(refused),
        [chain(listed[FIRST:], listing)],
    )


def complaints_of(look: Look) -> Iterator[tuple[Doubt, str]]:
    """Yield what is wrong with the images of a corpus that were opened."""
    refused, opened = len(look.refused), len(look.refused) + len(look.images)
    if opened and refused / opened > look.config.shards.max_bad_fraction:
        first = look.refused[0]
        said = (
            f"images of {look.dataset} must be accepted, but {refused} of {opened} that were "
            f"opened are not, as {first.source}: {first.reason}"
        )
        yield ("bad" if refused == opened else "poor"), said


def few_patches(look: Look) -> Iterator[tuple[Doubt, str]]:
    """Yield that the images of a corpus have too few patches for the fit, as far as a look tells.

    It is certain where all of them were opened. Otherwise they are taken to be as large as the
    largest that was.
    """
    config, opened = look.config, len(look.images)
    factor = config.enlargement(look.dataset)
    if factor is None or not look.images or not look.is_all:
        return
    if look.dataset not in config.fitted_datasets():
        return
    is_certain = opened + len(look.refused) == len(look.files)
    count = min(config.fit.images, opened if is_certain else len(look.files))
    sides = [(image.height * factor, image.width * factor) for image in look.images]
    fitted = list[FittedPatches]()
    with suppress(ConfigurationError):  # levels that the codec lacks, of which another sentence is
        fitted = patches_of_fit(config)
    for size, patch, level in fitted:
        patches = sorted(size.patches_in(patch, *each) for each in sides)
        total = sum(patches[-count:]) if is_certain else patches[-1] * count
        dimensions = size.patch_dimensions(patch)
        if total <= dimensions:
            said = too_few(repr(look.dataset), dimensions, total, count, level)
            guessed = f" (if none is larger than the {opened} that were looked at)"
            yield ("bad", said) if is_certain else ("poor", said + guessed)
            return


def shared_keys(role: str, restored: Look, other: Look) -> tuple[Doubt | None, str]:
    """Return whether restored images share keys with those of another corpus, and a sentence.

    Both listings are gone through side by side, up to the first thousand restored images, or as
    far as it takes to find one key that both have.

    Args:
        role: of the other corpus.
        restored: the restored images.
        other: the other images.
    """
    if restored.corpus.is_tars or other.corpus.is_tars:
        return None, "the keys of images in tars are known when these have been read"
    seen = shared = 0
    for is_shared in _side_by_side(_keys(restored), _keys(other)):
        seen, shared = seen + 1, shared + is_shared
        if seen >= FIRST and shared:
            break
    if shared:
        ours = f"{_role(restored)} images"
        return None, f"{shared} of the first {seen} {ours} have their key in {role}"
    first, second = (look.files[0].key for look in (restored, other))
    return "bad", (
        f"{role} must share keys (paths without extension) with the {_role(restored)} images, "
        f"{_WHY_PAIRED[role]}, got none in common: {second!r} against {first!r}; "
        f"{_remedy(role, restored, other)}"
    )


def _role(look: Look) -> str:
    """Return the role of images that are to be enhanced, as they are or once they are restored."""
    return "degraded" if look.dataset == look.config.degraded_name else "restored"


def _remedy(role: str, restored: Look, other: Look) -> str:
    """Return what to do about keys that differ: by an end of the names, if that would mend it."""
    if ending := ending_between(_keys(restored), _keys(other)):
        longer = _role(restored) if ending.of_ours else role
        return (
            f"{ending.shared} would be without {ending.text!r} at the end: write "
            f"`strip: {ending.text}` beside the path of corpora.{longer}"
        )
    if folder := folder_between(_keys(restored), _keys(other)):
        return (
            f"{folder.shared} would be with another folder: write `match: {{from: {folder.ours}, "
            f"to: {folder.theirs}}}` beside the path of corpora.{_role(restored)}"
        )
    return f"rename the files, or {_UNPAIRED[role]}"


_WHY_PAIRED = {
    "natural": "as fit.pairing is paired",
    "reference": "of which it is the ground truth",
    "training": "as restore.train.pairing is paired",
}
_UNPAIRED = {
    "natural": "fit.pairing: unpaired",
    "reference": "leave out corpora.reference",
    "training": "restore.train.pairing: unpaired",
}
"""What is written for images that are no pairs, by the role of the others."""


def differing_sizes(restored: Look, reference: Look, factor: int = 1) -> str:
    """Return a sentence if restored images that were opened are not as large as their references.

    It is empty where all that are looked at are.

    Args:
        restored: the restored images, or degraded ones from which they are made.
        reference: their ground truth.
        factor: how many times as large as those looked at the restored images are.
    """
    by_key = {file.key: file for file in reference.files}
    ours = {image.key: image for image in restored.images if image.key in by_key}
    files = [by_key[key] for key in ours]
    limits = reference.config.shards.limits()
    for truth in accept_files(source_of(reference.corpus), files, reference.corpus, limits):
        image = ours[truth.key]
        width, height = image.width * factor, image.height * factor
        if isinstance(truth, Accepted) and (truth.width, truth.height) != (width, height):
            has = "has" if factor == 1 else "gets"
            return (
                f"restored images must be as large as their references to be scored, but "
                f"{image.source} {has} {width}×{height} pixels and its reference "
                f"{truth.width}×{truth.height}; crop and resize of the corpora can mend it"
            )
    return ""


def _files(config: Config, corpus: Corpus) -> Iterator[SourceFile]:
    """Yield the files that a run would take in, in the order of their keys."""
    forgotten = Workspace(config.workspace).forgotten()
    apart = apart_from(corpus, config.workspace, config.corpora)
    yield from islice(list_files(corpus, forgotten, apart), corpus.limit)


def _keys(look: Look) -> Iterator[str]:
    """Yield the keys of a corpus in order; names that are refused have none."""
    again = _files(look.config, look.corpus)  # lists nothing yet
    files = chain(look.files, look.rest.pop()) if look.rest else again
    return (file.key for file in files if not file.refusal)


def _side_by_side(ours: Iterator[str], theirs: Iterator[str]) -> Iterator[bool]:
    """Yield for each of our keys whether it is among theirs; both are in order."""
    other = next(theirs, None)
    for key in ours:
        while other is not None and other < key:
            other = next(theirs, None)
        yield other == key
