"""Shard one corpus: image files into WebDataset tars with an index."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task

from tasks.config import Config
from tasks.io.errors import CorpusError, ImageRefused, StepMissing, TooManyBadImages
from tasks.io.images import EXTENSIONS, Limits, decode, encode, fit_to, read_header
from tasks.io.ledger import Record, Survey, digest_of
from tasks.io.shards import Accepted, Refused, shard_name, write_shard
from tasks.io.store import Store, stem
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Line, Outcome, Planned, Target, aim, count_reasons, publishing
from tasks.policy import SHARD_POLICY, logger
from tasks.progress import advance
from tasks.sections import Corpus


class SourceFile(NamedTuple):
    """An image file of a corpus; ``refusal`` says why it is not even opened."""

    key: str
    path: str
    size: int
    version: str
    refusal: str = ""


class ShardJob(Job):
    """Copy these files into one shard."""

    target: Target
    shard: str
    corpus: Corpus
    limits: Limits
    files: tuple[SourceFile, ...]


class IndexJob(Job):
    """Merge the indexes of a data set's shards, and drop shards it no longer has."""

    target: Target
    dataset: str
    shards: tuple[str, ...]
    retired: tuple[Line, ...]
    content: str
    max_bad_fraction: float


@task(name="shard", **SHARD_POLICY)
def shard_images(job: ShardJob) -> Outcome:
    """Write one shard; safe to repeat."""
    outcome = write_corpus_shard(job)
    logger().info("sharded %s images=%d refused=%s", job.shard, outcome.images, outcome.refused)
    return outcome


@task(name="index", **SHARD_POLICY)
def index_dataset(job: IndexJob) -> Outcome:
    """Write the index of a data set."""
    return write_index(job)


def plan_shards(
    config: Config, corpus: Corpus, dataset: str, workspace: Workspace
) -> Iterator[Planned]:
    """The shards of a corpus in order, as far as files are listed; done ones without a job."""
    survey = workspace.ledger.survey(dataset_folder(dataset))
    files = islice(list_images(Store(corpus.path)), corpus.limit)
    number = 0
    while block := tuple(islice(files, config.shards.images)):
        shard = shard_name(number)
        inputs = {
            "path": corpus.path,
            "files": hashlib.sha256(repr(block).encode()).hexdigest(),
            "resize": corpus.resize,
            "crop": corpus.crop,
            "limits": [config.shards.max_pixels, config.shards.max_bytes],
        }
        target = aim(survey, f"{dataset_folder(dataset)}/{shard}", "shard", inputs)
        job = (
            None
            if target is None
            else ShardJob(
                workspace=workspace.url,
                target=target,
                shard=shard,
                corpus=corpus,
                limits=config.shards.limits(),
                files=block,
            )
        )
        yield Planned(shard, len(block), job)
        number += 1
    if number == 0:
        raise CorpusError(
            f"{dataset} must hold at least one image, got none below {corpus.path!r} with the "
            f"endings {', '.join(sorted(EXTENSIONS))}; check the path"
        )


def plan_index(
    config: Config, dataset: str, shards: Iterable[str], workspace: Workspace
) -> IndexJob | None:
    """The index over these shards, which must be finished; None if it is there."""
    folder = dataset_folder(dataset)
    survey = workspace.ledger.survey(folder)
    wanted = {f"{folder}/{shard}": shard for shard in shards}
    if not wanted:
        raise CorpusError(
            f"{dataset} must hold at least one image, got none: all were refused; the column "
            "`reason` of the index that it is made from says why"
        )
    digests = {artifact: finished_digest(survey, artifact) for artifact in wanted}
    inputs = {"shards": digests, "max_bad_fraction": config.shards.max_bad_fraction}
    target = aim(survey, f"{folder}/index", "index", inputs)
    if target is None:
        return None
    return IndexJob(
        workspace=workspace.url,
        target=target,
        dataset=dataset,
        shards=tuple(wanted.values()),
        retired=tuple(survey.retired(set(wanted.values()))),
        content=digest_of(digests),
        max_bad_fraction=config.shards.max_bad_fraction,
    )


def finished_digest(survey: Survey, artifact: str, verb: str = "shard") -> str:
    """The digest of a finished artifact; ``verb`` is the command that makes it.

    Raises:
        StepMissing: it has no record.
    """
    records = survey.records(artifact)
    if not records:
        raise StepMissing(
            f"{artifact} must be finished, but is not; run `dotpipe {verb} CONFIG` first"
        )
    return records[-1].digest


def list_images(store: Store) -> Iterator[SourceFile]:
    """The image files of a folder in the order of their keys.

    Files that share a key (they differ only in extension) are refused from the second
    on, and so are names that no table can hold.

    Raises:
        CorpusError: there is no such folder.
    """
    if not store.is_folder():
        raise CorpusError(f"corpus must be a folder, got {store.url!r}, which is none")
    previous = ""
    for entry in store.list(""):
        key, extension = stem(entry.path), entry.path.rpartition(".")[2].lower()
        if extension not in EXTENSIONS:
            continue
        refusal = ""
        if key == previous:
            refusal = "key taken: another file differs only in extension; rename one"
        elif not _is_unicode(entry.path):
            refusal = "name is not UTF-8: rename the file"
        previous = key
        yield SourceFile(
            _printable(key), _printable(entry.path), entry.size, entry.version, refusal
        )


def write_corpus_shard(job: ShardJob) -> Outcome:
    """Read, check and copy the files of one shard; bytes are kept unless resized.

    In one thread: shards side by side keep all cores busy, with less waiting for the
    interpreter's lock than several threads for each.
    """
    workspace, source = job.opened(), Store(job.corpus.path)
    with publishing(workspace, job.target) as publication:

        def images() -> Iterator[Accepted | Refused]:
            for file in job.files:
                yield _accept(source, file, job.corpus, job.limits)
                advance(1)

        table, publication.digest = write_shard(
            job.shard,
            images(),
            publication.file(f"{job.target.artifact}.tar", indexed=True),
            publication.file(f"{job.target.artifact}.parquet"),
        )
        outcome = outcome_of(table)
        publication.facts |= outcome.model_dump()
    return outcome


def write_index(job: IndexJob) -> Outcome:
    """Merge the shards' indexes, a row group a shard.

    Raises:
        TooManyBadImages: more was refused than the configuration allows.
    """
    workspace, folder = job.opened(), dataset_folder(job.dataset)
    target = job.target
    images, reasons = 0, list[str]()
    with publishing(workspace, target) as publication:
        path = publication.file(f"{folder}/index.parquet")
        writer = None
        for shard in job.shards:
            table = workspace.shard_index(job.dataset, shard)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            images += table.num_rows
            reasons += [reason for reason in table["reason"].to_pylist() if reason]
        if writer is not None:
            writer.close()
        require_few_bad(job.dataset, images, reasons, job.max_bad_fraction)
        outcome = Outcome(images=images, refused=count_reasons(reasons))
        publication.facts |= outcome.model_dump()
        publication.digest = job.content
    workspace.ledger.retire(map(Record._make, job.retired))
    return outcome


def outcome_of(index: pa.Table) -> Outcome:
    """How many images an index has, and why some are not in the shard."""
    reasons = [reason for reason in index["reason"].to_pylist() if reason]
    return Outcome(images=index.num_rows, refused=count_reasons(reasons))


def require_few_bad(
    dataset: str, images: int, reasons: Sequence[str], max_bad_fraction: float
) -> None:
    """Check the share of refused images against the configuration's limit.

    Raises:
        TooManyBadImages: it is larger.
    """
    if images and len(reasons) / images > max_bad_fraction:
        listed = ", ".join(f"{count} × {kind}" for kind, count in count_reasons(reasons).items())
        raise TooManyBadImages(
            f"at most {max_bad_fraction:.1%} of {dataset} may be refused, got {len(reasons)} of "
            f"{images} ({listed}); the column `reason` of its tables says which, "
            "shards.max_bad_fraction sets the limit"
        )


def _accept(source: Store, file: SourceFile, corpus: Corpus, limits: Limits) -> Accepted | Refused:
    """One file as a member of the shard, or the reason why not."""
    try:
        if file.refusal:
            raise ImageRefused(file.refusal)
        if file.size > limits.max_bytes:
            raise ImageRefused(f"file too large: {file.size} bytes, limit {limits.max_bytes}")
        data = source.read(file.path)
        header = read_header(data, limits)
        if corpus.resize is not None or corpus.crop is not None:
            fitted = fit_to(decode(data, limits), corpus.resize, corpus.crop, limits)
            data = encode(fitted, "webp")
            header = read_header(data, limits)
    except ImageRefused as refusal:
        return Refused(key=file.key, source=file.path, reason=str(refusal))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        reason = error.strerror or type(error).__name__
        return Refused(key=file.key, source=file.path, reason=f"unreadable: {reason}")
    return Accepted(
        key=file.key,
        source=file.path,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension=header.extension,
        width=header.width,
        height=header.height,
    )


def _is_unicode(text: str) -> bool:
    return text == _printable(text)


def _printable(text: str) -> str:
    """The text with bytes that are no UTF-8 written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
