"""What comes out of a foreign tar, or a part of one: checked images or reasons, in key order."""

import dataclasses
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from tasks.config.corpora import Corpus
from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.shards import Accepted, Refused
from tasks.io.shards.cuts.parts import Across, Part, SideElsewhere
from tasks.io.shards.foreign_tars import read_samples
from tasks.io.shards.keys import key_mark
from tasks.io.shards.samples import NOTHING_BEFORE, LooseSide, Sample
from tasks.io.shards.sides import Sides
from tasks.io.store import Slice, Store, temporary_room
from tasks.io.workspace import is_forgotten
from tasks.jobs.progress import advance
from tasks.shard.acceptance import accepted
from tasks.shard.image_files import SourceFile
from tasks.shard.tars.stops import StoppableStream, Stops
from tasks.shard.tars.waiting import WaitingImages


class Section(NamedTuple):
    """A part of a tar, and what it must know of the others."""

    part: Part
    across: Across


def accept_tar(
    source: Store,
    tar: SourceFile,
    corpus: Corpus,
    limits: Limits,
    forgotten: Collection[str],
    section: Section | None = None,
) -> Iterator[Accepted | Refused]:
    """Yield the images of a foreign tar in the order of their keys, without forgotten ones.

    A tar is in any order. Its images wait in a temporary file until all their keys are known.

    Args:
        source: the folder or bucket that the tar's path starts from.
        tar: the tar, as it was listed.
        corpus: whether and how images are resized.
        limits: of the bytes and pixels of an image.
        forgotten: digests of keys to leave out.
        section: the part that is read; None for the whole tar.

    Raises:
        OSError: the tar cannot be read.
    """
    place = None if section is None else section.part.place
    across, stops = Across() if section is None else section.across, Stops()
    with temporary_room(), tempfile.TemporaryFile() as spool:
        waiting = WaitingImages(spool, across.ambiguous)
        with source.stream(tar.path, place) as stream:
            read = StoppableStream(stream, stops)
            images = _samples(read, tar, corpus, limits, forgotten, section)
            marks = _taken_in(images, waiting, {side.mark for side in across.sides})
        for side in _from_elsewhere(source, tar, across.sides, marks):
            waiting.add_side(side)
            stops.heed()
        yield from waiting.in_order()


def _taken_in(
    images: Iterable[Accepted | Refused | LooseSide],
    waiting: WaitingImages,
    marks: Collection[bytes],
) -> dict[bytes, str]:
    """Have all images wait; return the keys that have these marks, of those that came."""
    found = dict[bytes, str]()
    for image in images:
        if isinstance(image, LooseSide):
            waiting.add_side(image)
            continue
        waiting.add(image)
        advance(1)
        if marks and (mark := key_mark(image.key)) in marks:
            found[mark] = image.key
    return found


def _samples(
    stream: StoppableStream,
    tar: SourceFile,
    corpus: Corpus,
    limits: Limits,
    forgotten: Collection[str],
    section: Section | None,
) -> Iterator[Accepted | Refused | LooseSide]:
    """Yield the samples of a tar or a part, in the order of the tar, without forgotten ones."""
    before = NOTHING_BEFORE if section is None else section.across.before(section.part)
    taken = () if section is None else section.across.renamed
    samples = read_samples(stream, limits, tar.path, corpus.side_kinds, before)
    for sample in _renamed(samples, corpus, taken) if corpus.renames else samples:
        if is_forgotten(sample.key, forgotten):
            continue
        if isinstance(sample, LooseSide):
            yield sample
            continue
        try:
            if sample.image is None:
                raise ImageRefused(sample.reason or "no image")
            image = accepted(sample.key, sample.source, sample.image, corpus, limits)
        except ImageRefused as refusal:
            yield Refused(key=sample.key, source=sample.source, reason=str(refusal))
            continue
        yield dataclasses.replace(image, sides=sample.sides, left_out=sample.left_out)


def _renamed(
    samples: Iterable[Sample | LooseSide], corpus: Corpus, before: Collection[bytes]
) -> Iterator[Sample | LooseSide]:
    """Yield samples with the keys that the corpus says; the second image of a key is refused.

    Args:
        samples: of a tar, or a part of it.
        corpus: says how keys change.
        before: marks of keys that images of earlier parts have.
    """
    taken, ways = set(before), [f"without {corpus.strip!r}"] if corpus.strip else []
    if corpus.match is not None:
        ways.append(f"with {corpus.match.to!r} for {corpus.match.from_!r}")
    for sample in samples:
        key = corpus.renamed(sample.key)
        if isinstance(sample, Sample) and sample.image is not None:
            if (mark := key_mark(key)) in taken:
                reason = f"key taken: another member has it {' and '.join(ways)}; rename one"
                yield Sample(sample.key, sample.source, None, reason)
                continue
            taken.add(mark)
        yield sample._replace(key=key)


def _from_elsewhere(
    source: Store, tar: SourceFile, sides: Collection[SideElsewhere], keys: dict[bytes, str]
) -> Iterator[LooseSide]:
    """Yield the sides of a part's images that lie in other parts; those of forgotten ones stay.

    Args:
        source: the folder or bucket that the tar's path starts from.
        tar: the tar.
        sides: where they lie.
        keys: of the images, by their marks.
    """
    wanted = [side for side in sides if side.mark in keys]
    places = [Slice(side.offset, side.size) for side in wanted if side.reason is None]
    with closing(source.read_slices(tar.path, places)) as contents:
        for side in wanted:
            found = Sides()
            if side.reason is None:
                found.add(side.kind, next(contents), side.size)
            reason = side.reason or found.left_out.get(side.kind)
            yield LooseSide(keys[side.mark], side.kind, found.kept.get(side.kind), reason)
