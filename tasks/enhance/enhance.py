"""The task that enhances a shard: one pass of the networks for all alphas, tars and metrics."""

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from prefect import task

from dot_kernels import Codec
from dot_kernels.patches import Fold
from tasks.config.compute import Compute
from tasks.config.sections import Enhance
from tasks.enhance.features import Features, no_moments
from tasks.enhance.match import read_matches
from tasks.enhance.outputs import Finished, Output, open_outputs
from tasks.enhance.perception import Networks
from tasks.enhance.rendering import Gathered, Rendered, Renderer
from tasks.enhance.scoring import score
from tasks.fit.operators import read_operator
from tasks.io.artifacts.metrics import NO_NETWORK, NO_REFERENCE_GIVEN, NO_SUCH_KEY
from tasks.io.images import Limits, encode
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches
from tasks.io.networks.codecs import CodecSpec, Precision, load_codec
from tasks.io.networks.digests import require_identity
from tasks.io.networks.extractors import Network, extractor_identity, load_extractor
from tasks.io.networks.perceptual import LpipsNet, load_lpips, lpips_identity, lpips_name
from tasks.io.networks.weights import Weights
from tasks.io.shards import Member
from tasks.io.shards.loader import Picture, load_pictures, windows
from tasks.io.workspace import (
    CODEC_INPUT,
    CURVE,
    Signal,
    Workspace,
    features_folder,
    points_of,
)
from tasks.jobs import Job, Outcome, Subject, Target, carry_out
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.stopwatch import Stopwatch, TimedCodec, timed


class EnhanceJob(Job):
    """Names what is missing of one shard, and everything that is needed to make it."""

    dataset: str
    reference: str | None
    shard: str
    operator: str
    tars: tuple[Output, ...]
    tables: tuple[Output, ...]
    codec: CodecSpec
    options: Enhance
    fold: Fold
    lpips: LpipsNet | None
    network: Network | None
    weights: str | None
    identities: dict[str, dict[str, str] | None]
    curve: tuple[float, ...]
    curve_networks: bool
    compute: Compute
    limits: Limits

    def targets(self) -> list[Target]:
        """Return the tars and metric tables that are missing of the shard."""
        return [output.target for output in (*self.tars, *self.tables)]

    def claim(self) -> str:
        """Return the shard under its operator: runs with other alphas score the same controls."""
        return f"enhanced/{self.dataset}/{self.operator}/{self.shard}"

    def subject(self) -> Subject:
        """Return the restored shard, with the alphas of which something is missing."""
        signals = (output.signal for output in (*self.tars, *self.tables))
        alphas = dict.fromkeys(s.alpha for s in signals if s.alpha is not None)
        return Subject(self.dataset, self.shard, self.operator, tuple(alphas))


@task(name="enhance", task_run_name="enhance {job.dataset} {job.shard}", **SHARD_POLICY)
def enhance_shard(job: EnhanceJob) -> Outcome:
    """Write the missing tars and metrics of one shard; does nothing where none are missing."""
    return told("enhanced", job, carry_out(job, write_enhanced))


def write_enhanced(job: EnhanceJob) -> Outcome:
    """Make every missing artifact of a shard, and publish them together at the end.

    While the networks work on one window of pictures, the next is read and decoded, and the
    last is scored and encoded.

    Raises:
        OSError: pictures were left out because the device had no memory for any.
        WeightsMissing: a network cannot be had.
    """
    with leased(job.compute.device) as device:
        return timed(device, partial(_write, job, device))


def _write(job: EnhanceJob, device: str, watch: Stopwatch) -> Outcome:
    """Make every missing artifact of a shard on a device that is leased."""
    workspace, weights = job.opened(), Weights.of(job.weights)
    renderer = _renderer(job, workspace, weights, device, watch)
    with watch.lap("read"):
        members, matches = workspace.members(job.dataset, job.shard), _matches(job, workspace)
    missing = NO_REFERENCE_GIVEN if job.reference is None else NO_SUCH_KEY
    with ExitStack() as stack:
        features = _features(job, weights, renderer)
        opening = open_outputs(workspace, job.tars, job.tables, features, job.options.format)
        outputs = stack.enter_context(opening)
        decoders = stack.enter_context(ThreadPoolExecutor(cores()))
        finishers = stack.enter_context(ThreadPoolExecutor(cores()))

        def load(window: list[Member]) -> tuple[list[Picture], dict[str, Picture]]:
            truths = [matches[member.key] for member in window if member.key in matches]
            pictures = load_pictures(workspace.store, window, job.limits, decoders)
            references = load_pictures(workspace.store, truths, job.limits, decoders)
            return pictures, {picture.member.key: picture for picture in references}

        pending: list[_Pending] = []
        loaded = read_ahead(load, windows(members, job.compute.batch))
        for pictures, references in watch.each("read", loaded):
            rendered = list(renderer.render(pictures, references, missing))
            outputs.write(_finished(pending, watch))
            pending = _finish(rendered, pictures, job, finishers)
        outputs.write(_finished(pending, watch))
        renderer.batches.require_room()
        return outputs.close(renderer.gathered.moments, watch, renderer.remarks)


def _renderer(
    job: EnhanceJob, workspace: Workspace, weights: Weights, device: str, watch: Stopwatch
) -> Renderer:
    """Return a renderer for the signals of a job, with its networks loaded on a device."""

    def load(precision: Precision) -> Codec:
        with watch.lap("load networks"):
            return TimedCodec(load_codec(job.codec, device, precision, weights), watch)

    with watch.lap("load networks"):
        networks = _networks(job, weights, device)
    operator, _, _ = read_operator(workspace, job.dataset, job.operator)
    signals = [output.signal for output in (*job.tars, *job.tables) if output.signal != CURVE]
    scored = frozenset(output.signal for output in job.tables) - {CURVE}
    measured = scored - {CODEC_INPUT}
    wants_curve = any(output.signal == CURVE for output in job.tables)
    return Renderer(
        codec=load(job.compute.precision),
        operator=operator,
        options=job.options,
        fold=job.fold,
        signals=tuple(dict.fromkeys(signals)),
        scored=scored,
        batch=job.compute.batch,
        batches=Batches("enhance", device),
        watch=watch,
        networks=networks,
        precise=None if job.compute.precision == "float32" else partial(load, "float32"),
        curve=points_of(CURVE, job.curve) if wants_curve else (),
        on_curve=job.curve_networks,
        gathered=Gathered(moments=dict.fromkeys(measured, no_moments(operator.dimension))),
    )


def _networks(job: EnhanceJob, weights: Weights, device: str) -> Networks:
    """Return the networks of the metrics, whose weights must be those that the plan names."""
    lpips = extractor = None
    if job.tables and job.lpips and job.reference:
        lpips = load_lpips(job.lpips, device, weights)
        require_identity(lpips_identity(job.lpips, weights), job.identities["lpips"])
    if job.tables and job.network:
        extractor = load_extractor(job.network, device, weights)
        require_identity(extractor_identity(job.network, weights), job.identities["features"])
    return Networks(lpips=lpips, extractor=extractor)


def _features(job: EnhanceJob, weights: Weights, renderer: Renderer) -> Features:
    """Return which features the pass writes, and in which folders."""
    tables = [output.signal for output in job.tables]
    points = {table: points_of(table, job.curve) for table in tables}
    if not job.curve_networks:
        points |= {CURVE: ()}
    networks = {
        "lpips": lpips_name(job.lpips, weights) if job.lpips else NO_NETWORK,
        "features": job.network or NO_NETWORK,
    }
    extractor = renderer.networks.extractor
    return Features(
        signals=points,
        folders={
            signal: features_folder(job.dataset, job.operator, signal)
            for signals in points.values()
            for signal in signals
        },
        dimension=None if extractor is None else extractor.dimension,
        networks=networks,
    )


def _matches(job: EnhanceJob, workspace: Workspace) -> dict[str, Member]:
    """Return the ground truth by key; none where nothing is scored."""
    if job.reference is None or not job.tables:
        return {}
    return read_matches(workspace, job.dataset, job.reference, job.shard)


class _Pending(NamedTuple):
    """A picture whose rows and files are being made by the threads of a pool."""

    rendered: Rendered
    rows: Future[dict[Signal, list[dict[str, Any]]]]
    files: Future[dict[Signal, bytes]]


def _finish(
    rendered: list[Rendered], pictures: list[Picture], job: EnhanceJob, pool: Executor
) -> list[_Pending]:
    """Have a pool score and then encode pictures; return what is pending, in their order."""

    def rows(item: Rendered) -> dict[Signal, list[dict[str, Any]]]:
        return {out.signal: score(item, out.signal, out.target.fingerprint) for out in job.tables}

    def files(item: Rendered) -> dict[Signal, bytes]:
        if item.reason is not None:
            return {}
        return {out.signal: encode(item.images[out.signal], job.options.format) for out in job.tars}

    by_key = {item.picture.member.key: item for item in rendered}
    items = [by_key[picture.member.key] for picture in pictures]
    scored = [pool.submit(rows, item) for item in items]
    coded = [pool.submit(files, item) for item in items]
    return [_Pending(*each) for each in zip(items, scored, coded, strict=True)]


def _finished(pending: list[_Pending], watch: Stopwatch) -> list[Finished]:
    """Wait for the pool; return the pictures with their rows and files."""
    with watch.lap("metrics"):
        scored = [item.rows.result() for item in pending]
    return [
        Finished(item.picture.member, rows, files.result(), item.features, item.reason)
        for (item, _, files), rows in zip(pending, scored, strict=True)
    ]
