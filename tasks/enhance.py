"""Enhance a shard: one pass of the network for all its alphas, tars and metrics."""

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from prefect import task

from dot_kernels import Codec, GaussianMoments
from dot_kernels.patches import Fold
from tasks.batches import Batches
from tasks.io.codecs import CodecSpec, Precision, load_codec
from tasks.io.cores import cores
from tasks.io.devices import pick_device
from tasks.io.digests import require_identity
from tasks.io.extractors import (
    Network,
    extractor_identity,
    load_extractor,
)
from tasks.io.images import Limits, encode
from tasks.io.perceptual import LpipsNet, load_lpips, lpips_identity, lpips_name
from tasks.io.pictures import Picture, load_pictures, read_ahead, to_pixels, windows
from tasks.io.scores import NO_NETWORK
from tasks.io.shards import Member
from tasks.io.workspace import (
    CURVE,
    Workspace,
    features_folder,
)
from tasks.jobs import Job, Outcome, Target, carry_out
from tasks.match import read_matches
from tasks.outputs import Features, Finished, Output, Outputs, Stopwatch
from tasks.perception import Networks
from tasks.policy import SHARD_POLICY, logger
from tasks.reduce import read_operator
from tasks.rendering import CODEC_INPUT, Rendered, Renderer
from tasks.scoring import score
from tasks.sections import Compute, Enhance
from tasks.signals import points_of


class EnhanceJob(Job):
    """Make the missing tars and metrics of one shard."""

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
        """The artifacts that are missing of the shard."""
        return [output.target for output in (*self.tars, *self.tables)]

    def claim(self) -> str:
        """The shard under this operator: runs with other alphas score the same controls."""
        return f"enhanced/{self.dataset}/{self.operator}/{self.shard}"


@task(name="enhance", **SHARD_POLICY)
def enhance_shard(job: EnhanceJob) -> Outcome:
    """Write the enhanced tars and the metrics of one shard; safe to repeat."""
    return carry_out(job, _enhance)


def _enhance(job: EnhanceJob) -> Outcome:
    outcome, seconds = write_enhanced(job)
    logger().info("enhanced %s %s seconds=%s", job.shard, outcome, seconds)
    return outcome


def write_enhanced(job: EnhanceJob) -> tuple[Outcome, dict[str, float]]:
    """Make every missing artifact of a shard, and publish them together at the end.

    While the network works on one window of pictures, the next is read and decoded,
    and the last is scored, encoded and written.
    """
    workspace, watch = job.opened(), Stopwatch()
    renderer = _renderer(job, workspace)
    members = workspace.members(job.dataset, job.shard)
    matches = _matches(job, workspace)
    missing = "no reference: its key is not among the accepted images of the reference"
    if job.reference is None:
        missing = "no reference corpus"
    with ExitStack() as stack:
        features = _features(job, renderer)
        outputs = Outputs(workspace, job.tars, job.tables, features, job.options.format, stack)
        decoders = stack.enter_context(ThreadPoolExecutor(cores()))
        finishers = stack.enter_context(ThreadPoolExecutor(cores()))

        def load(window: list[Member]) -> tuple[list[Picture], dict[str, Picture]]:
            truths = [matches[member.key] for member in window if member.key in matches]
            pictures = load_pictures(workspace.store, window, job.limits, decoders)
            references = load_pictures(workspace.store, truths, job.limits, decoders)
            return pictures, {picture.member.key: picture for picture in references}

        pending: list[Future[Finished]] = []
        loaded = read_ahead(load, windows(members, job.compute.batch))
        while True:
            with watch.lap("pictures"):
                window = next(loaded, None)
            if window is None:
                break
            with watch.lap("network"):
                rendered = list(renderer.render(*window, missing))
            with watch.lap("scores and files"):
                outputs.write(future.result() for future in pending)
            pending = _finish(rendered, window[0], job, finishers)
        with watch.lap("scores and files"):
            outputs.write(future.result() for future in pending)
        renderer.batches.require_room()
        outcome = outputs.close(watch, renderer.remarks)
    return outcome, watch.rounded()


def _renderer(job: EnhanceJob, workspace: Workspace) -> Renderer:
    """The networks of this process, set up for the signals of a job."""
    device = pick_device(job.compute.device)

    def load(precision: Precision) -> Codec:
        return load_codec(job.codec, job.compute.device, precision, job.weights)

    operator, _, _ = read_operator(workspace, job.dataset, job.operator)
    signals = [output.signal for output in (*job.tars, *job.tables) if output.signal != CURVE]
    scored = frozenset(output.signal for output in job.tables) - {CURVE}
    lpips = extractor = None
    if job.tables and job.lpips and job.reference:
        lpips = load_lpips(job.lpips, device, job.weights)
        require_identity(lpips_identity(job.lpips, job.weights), job.identities["lpips"])
    if job.tables and job.network:
        extractor = load_extractor(job.network, device, job.weights)
        require_identity(extractor_identity(job.network, job.weights), job.identities["features"])
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
        networks=Networks(lpips=lpips, extractor=extractor),
        precise=None if job.compute.precision == "float32" else partial(load, "float32"),
        curve=points_of(CURVE, job.curve) if wants_curve else (),
        on_curve=job.curve_networks,
        moments={
            signal: GaussianMoments.zero(operator.dimension)
            for signal in scored
            if signal != CODEC_INPUT
        },
    )


def _features(job: EnhanceJob, renderer: Renderer) -> Features:
    """Which features the pass gathers, and their places."""
    tables = [output.signal for output in job.tables]
    points = {table: points_of(table, job.curve) for table in tables}
    if not job.curve_networks:
        points |= {CURVE: ()}
    networks = {
        "lpips": lpips_name(job.lpips, job.weights) if job.lpips else NO_NETWORK,
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
        moments=renderer.moments,
    )


def _matches(job: EnhanceJob, workspace: Workspace) -> dict[str, Member]:
    if job.reference is None or not job.tables:
        return {}
    return read_matches(workspace, job.dataset, job.reference, job.shard)


def _finish(
    rendered: list[Rendered], pictures: list[Picture], job: EnhanceJob, pool: Executor
) -> list[Future[Finished]]:
    """Score and encode the pictures in the pool; the answers are in the pictures' order."""
    by_key = {item.picture.member.key: item for item in rendered}

    def finish(item: Rendered) -> Finished:
        files = {
            output.signal: encode(to_pixels(item.images[output.signal]), job.options.format)
            for output in job.tars
            if item.reason is None
        }
        rows = {out.signal: score(item, out.signal, out.target.fingerprint) for out in job.tables}
        return Finished(item.picture.member, rows, files, item.features, item.reason)

    return [pool.submit(finish, by_key[picture.member.key]) for picture in pictures]
