"""Shard a corpus: image files or foreign tars go in, WebDataset tars with an index come out."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from prefect import task

from tasks.config import Config, Run
from tasks.config.corpora import Corpus
from tasks.config.places import apart_from
from tasks.io.catalogue import Catalogue
from tasks.io.errors import CorpusError
from tasks.io.images import EXTENSIONS, Limits
from tasks.io.shards import SHARD_ENDINGS, Accepted, Refused, write_shard
from tasks.io.shards.cuts.parts import Part
from tasks.io.workspace import dataset_folder, scan_artifact
from tasks.jobs import Job, Outcome, Planned, Recipe, Subject, Target, carry_out, publishing
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.stopwatch import Stopwatch, timed
from tasks.shard.assignment import files_by_shard
from tasks.shard.bad_images import outcome_of
from tasks.shard.corpus import list_files, source_of
from tasks.shard.dataset import gone_shards, known_catalogue
from tasks.shard.image_files import SourceFile
from tasks.shard.inputs import origin_of_shard, own_inputs, shared_inputs
from tasks.shard.intake import UNREADABLE, accept_files, any_readable
from tasks.shard.tars.cuts import Cuts
from tasks.shard.tars.intake import accept_tar
from tasks.shard.tars.scan import require_unchanged, section_of

MOST_COUNTED = 1_000_000
"""Files of a corpus that are counted to tell how long its shards will take: a larger one in a
bucket would be asked a thousand times for that alone."""


_READ_NOW = ("transparent; flatten it onto a background first",)
"""Reasons for which former versions have refused images, and which this one does not give."""


class ShardJob(Job):
    """Copy these files, or the images of this one tar, into one shard."""

    target: Target
    dataset: str
    shard: str
    corpus: Corpus
    limits: Limits
    files: tuple[SourceFile, ...]
    """The files, as they were when they were listed; or one tar."""
    part: Part | None = None
    """The part of the tar, if it is cut."""
    forgotten: tuple[str, ...] = ()
    """Digests of all keys that a tar must not bring back."""

    def subject(self) -> Subject:
        """Return the shard that it writes."""
        return Subject(self.dataset, self.shard)


@task(name="shard", task_run_name="shard {job.dataset} {job.shard}", **SHARD_POLICY)
def shard_images(job: ShardJob) -> Outcome:
    """Write one shard, unless another run has; safe to repeat."""
    return told("made", job, carry_out(job, write_corpus_shard))


def plan_shards(run: Run, corpus: Corpus, dataset: str) -> Iterator[Planned]:
    """Yield every shard of a corpus while its files are listed; done ones have no job.

    Args:
        run: the configuration and its workspace.
        corpus: where the files lie.
        dataset: name of the data set that they make.

    Raises:
        CorpusError: the corpus is not there, or has no images.
    """
    folder = dataset_folder(dataset)
    survey = run.workspace.ledger.survey(folder)
    catalogue, known = known_catalogue(dataset, survey, run.workspace), run.workspace.forgotten()
    gone = gone_shards(dataset, survey, run.workspace)
    recipe = Recipe("shard", shared_inputs(run.config, corpus))
    job_of = partial(
        ShardJob,
        workspace=run.workspace.url,
        dataset=dataset,
        corpus=corpus,
        limits=run.config.shards.limits(),
        forgotten=tuple(sorted(known)) if corpus.is_tars else (),
    )
    is_mended = _mended_shards(catalogue, corpus)
    empty = True
    apart = apart_from(corpus, run.config.workspace, run.config.corpora)
    size, parts_of = run.config.shards.images, Cuts(run, corpus, dataset, survey).parts_of
    for shard, files, part in files_by_shard(corpus, catalogue, known, size, gone, apart, parts_of):
        empty = False
        artifact, own = f"{folder}/{shard}", own_inputs(files, corpus, known, part)
        target = recipe.aim(survey, artifact, **own)
        if target is None and is_mended(shard):
            target = recipe.aim_again(survey, artifact, **own)
        images = len(files) if part is None else part.samples
        job = None if target is None else job_of(target=target, shard=shard, files=files, part=part)
        yield Planned(shard, images, job, (artifact,), recipe.mark(**own))
    if empty:
        raise without_images(dataset, corpus)


def mark_of_files(config: Config, corpus: Corpus, files: Sequence[SourceFile]) -> str:
    """Return the fingerprint of a shard of just these image files, as they were listed.

    Args:
        config: says which images are too large.
        corpus: a folder, where the files lie.
        files: in the order of their keys.
    """
    return Recipe("shard", shared_inputs(config, corpus)).mark(
        **own_inputs(tuple(files), corpus, {})
    )


def count_images(run: Run, corpus: Corpus, is_to_stop: Callable[[], bool]) -> int | None:
    """Return how many images the shards of a corpus will have been offered; it is listed for that.

    Args:
        run: the configuration and its workspace.
        corpus: where the files lie.
        is_to_stop: asked at every file.

    Returns:
        None for tars, whose images are known once they are read; for more than a million files;
        and where it was told to stop.
    """
    if corpus.is_tars:
        return None
    apart = apart_from(corpus, run.config.workspace, run.config.corpora)
    files, count = list_files(corpus, run.workspace.forgotten(), apart), 0
    for count, _ in enumerate(islice(files, corpus.limit), start=1):
        if is_to_stop() or count > MOST_COUNTED:
            return None
    return count


def without_images(dataset: str, corpus: Corpus) -> CorpusError:
    """Return what to raise where a corpus holds no image."""
    return CorpusError(
        f"{dataset} must hold at least one image, got none below {corpus.path!r} with the "
        f"endings {', '.join(sorted(EXTENSIONS))}; check the path (tars are named with braces, as "
        "…/{000000..000123}.tar)"
    )


def _mended_shards(catalogue: Catalogue | None, corpus: Corpus) -> Callable[[str], bool]:
    """Return what tells whether a file of a shard can be read that could not when it was made.

    Files tell of new contents by themselves, but not of other rights, nor that an object of a
    bucket has come back from an archive, nor that a former version has refused what this one
    reads.
    """
    if catalogue is None or corpus.is_tars:
        return lambda shard: False
    refused = {entry.shard: entry for entry in catalogue.shards if entry.accepted < entry.rows}
    source = source_of(corpus)

    def is_mended(shard: str) -> bool:
        if shard not in refused:
            return False
        rows = catalogue.table(refused[shard], ("source", "reason")).to_pylist()
        reasons = [(row["source"], str(row["reason"] or "")) for row in rows]
        paths = [path for path, reason in reasons if reason.startswith(UNREADABLE)]
        is_read_now = any(reason.startswith(_READ_NOW) for _, reason in reasons)
        return is_read_now or (bool(paths) and any_readable(source, paths))

    return is_mended


def write_corpus_shard(job: ShardJob) -> Outcome:
    """Read, check and copy the files of one shard; bytes are kept unless resized.

    This takes one thread: several shards at once keep all cores busy, with less waiting for
    the interpreter's lock than several threads for each shard.
    """
    return timed(None, partial(_write, job))


def _write(job: ShardJob, watch: Stopwatch) -> Outcome:
    with publishing(job.opened(), job.target) as publication:
        artifact = job.target.artifact
        table, publication.digest = write_shard(
            job.shard,
            watch.each("read", _images(job)),
            *(publication.file(f"{artifact}.{ending}") for ending in SHARD_ENDINGS),
            origin=origin_of_shard(job.files[0], job.part) if job.corpus.is_tars else None,
        )
        outcome = outcome_of(table)
        publication.facts |= {**outcome.facts(), "laps": watch.so_far()}
    return outcome


def _images(job: ShardJob) -> Iterator[Accepted | Refused]:
    """Yield what goes into a shard, accepted or refused, in the order of keys."""
    source = source_of(job.corpus)
    if not job.corpus.is_tars:
        yield from accept_files(source, job.files, job.corpus, job.limits)
        return
    (tar,) = job.files
    if job.part is None:
        yield from accept_tar(source, tar, job.corpus, job.limits, job.forgotten)
        return
    scan = scan_artifact(job.dataset, tar.path)
    require_unchanged(source, tar)
    section = section_of(job.opened(), scan, job.part)
    yield from accept_tar(source, tar, job.corpus, job.limits, job.forgotten, section)
    require_unchanged(source, tar)  # or its end would be that of another one
