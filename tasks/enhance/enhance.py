"""The task that enhances a shard: one pass of the networks for all alphas, images and metrics."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial

from prefect import task

from dot_kernels import TiledCodec
from dot_kernels.patches import Fold
from tasks.config.compute import Compute
from tasks.config.sections import Enhance
from tasks.enhance.curves.points import Curves
from tasks.enhance.features import Features, no_moments
from tasks.enhance.match import read_matches
from tasks.enhance.outputs import Output, open_outputs
from tasks.enhance.pairs import Gathered, Window
from tasks.enhance.perception import Networks, load_networks
from tasks.enhance.rendering import Renderer
from tasks.enhance.scoring import Finisher, Pending, finished
from tasks.enhance.written import WrittenImages, WrittenSignal, WrittenSignals
from tasks.fit.operators import read_operator
from tasks.io.artifacts.metrics import NO_NETWORK, NO_REFERENCE_GIVEN, NO_SUCH_KEY
from tasks.io.images import Limits
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches
from tasks.io.networks.codecs import CodecSpec, Precision, load_codec
from tasks.io.networks.features.extractors import FIRST, Network
from tasks.io.networks.features.judges import facts_on_judges
from tasks.io.networks.features.perceptual import LpipsNet, lpips_name
from tasks.io.networks.weights import Weights
from tasks.io.shards import Member
from tasks.io.shards.loader import load_pictures, windows
from tasks.io.workspace import (
    CODEC_INPUT,
    Workspace,
    features_folder,
    require_own_files,
)
from tasks.jobs import Job, Outcome, Subject, Target, carry_out
from tasks.jobs.events import told
from tasks.jobs.memory import remembered
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import as_done, reporting_to
from tasks.jobs.stopwatch import Stopwatch, TimedCodec, timed


class EnhanceJob(Job):
    """Names what is missing of one shard, and everything that is needed to make it."""

    dataset: str
    reference: str | None
    shard: str
    operator: str
    results: str
    transport: str
    enhanced: tuple[Output, ...]
    tables: tuple[Output, ...]
    codec: CodecSpec
    options: Enhance
    fold: Fold
    lpips: LpipsNet | None
    networks: dict[str, Network]
    judges: tuple[str, ...]
    weights: str | None
    identities: dict[str, dict[str, str] | None]
    curve: tuple[float, ...]
    curve_networks: bool
    compute: Compute
    limits: Limits

    def targets(self) -> list[Target]:
        """Return the images and metric tables that are missing of the shard."""
        return [output.target for output in (*self.enhanced, *self.tables)]

    def only_measures(self) -> bool:
        """Return whether all that is missing are tables of images that are written already."""
        return not self.enhanced and all(table.written for table in self.tables)

    def claim(self) -> str:
        """Return the shard among its results: runs with other alphas score the same controls."""
        return f"enhanced/{self.dataset}/{self.results}/{self.shard}"

    def subject(self) -> Subject:
        """Return the restored shard, with the alphas of which something is missing."""
        signals = (output.signal for output in (*self.enhanced, *self.tables))
        alphas = dict.fromkeys(s.alpha for s in signals if s.alpha is not None)
        return Subject(self.dataset, self.shard, self.operator, tuple(alphas))


@task(name="enhance", task_run_name="enhance {job.dataset} {job.shard}", **SHARD_POLICY)
def enhance_shard(job: EnhanceJob) -> Outcome:
    """Write the missing images and metrics of one shard; does nothing where none are missing."""
    return told("enhanced", job, carry_out(job, write_enhanced))


def write_enhanced(job: EnhanceJob) -> Outcome:
    """Make every missing artifact of a shard, and publish them together at the end.

    While networks work on a window of pictures, the next is decoded, and the last is encoded.
    Tables of images that were written without loss come first, of those; others need the codec.

    Raises:
        OSError: pictures were left out because the device had no memory for any.
        WeightsMissing: a network cannot be had.
        ShardDamaged: written images are not as the ledger says.
        CorpusError: images cannot be the files of their own that they are to be.
    """
    workspace, outcome = job.opened(), Outcome(images=0)
    if job.enhanced and job.options.outputs == "files":
        require_own_files(workspace, job.dataset, job.shard)
    found = ((table.signal, WrittenSignal.of(workspace, table)) for table in job.tables)
    left = {signal: each for signal, each in found if each is not None}
    rest = job.model_copy(update={"tables": tuple(t for t in job.tables if t.signal not in left)})
    with leased(job.compute.device) as device:
        if left:
            tables = tuple(table for table in job.tables if table.signal in left)
            scores = job.model_copy(update={"enhanced": (), "tables": tables})
            # Where the auto-encoder sees the images after this, they are counted then.
            with reporting_to(lambda _: None) if rest.targets() else nullcontext():
                outcome = timed(device, partial(_write, scores, device, left))
        if rest.targets():
            outcome += timed(device, partial(_write, rest, device, {}))
    return outcome


def _write(job: EnhanceJob, device: str, left: WrittenSignals, watch: Stopwatch) -> Outcome:
    """Make every artifact of a job on a leased device; of written images if some are left."""
    workspace, weights = job.opened(), Weights.of(job.weights)
    with watch.lap("load networks"):
        networks = _networks(job, weights, device)
    written = _written(job, left, networks, device, watch)
    renderer = written if left else _renderer(job, networks, weights, device, watch)
    with watch.lap("read"):
        members, matches = workspace.members(job.dataset, job.shard), _matches(job, workspace)
    missing = NO_REFERENCE_GIVEN if job.reference is None else NO_SUCH_KEY
    with ExitStack() as stack:
        features = _features(job, weights, networks)
        made = open_outputs(workspace, job.enhanced, job.tables, features, job.options.outputs)
        outputs = stack.enter_context(made)
        decoders = stack.enter_context(ThreadPoolExecutor(cores()))
        finisher = Finisher(
            tables=job.tables,
            enhanced=job.enhanced,
            form=job.options.form,
            pool=stack.enter_context(ThreadPoolExecutor(cores())),
        )

        def load(window: list[Member]) -> Window:
            truths = [matches[member.key] for member in window if member.key in matches]
            pictures = load_pictures(workspace.store, window, job.limits, decoders)
            references = load_pictures(workspace.store, truths, job.limits, decoders)
            by_key = {picture.member.key: picture for picture in references}
            return Window(pictures, by_key, written.load(window, decoders))

        pending: list[Pending] = []
        for window in watch.each("read", read_ahead(load, windows(members, job.compute.batch))):
            rendered = list(as_done(renderer.render(window, missing)))
            outputs.write(finished(pending, watch))
            pending = finisher.begin(rendered, window.pictures)
        outputs.write(finished(pending, watch))
        renderer.batches.require_room()
        return outputs.close(renderer.moments, watch, renderer.remarks, renderer.seams)


def _written(
    job: EnhanceJob, left: WrittenSignals, networks: Networks, device: str, watch: Stopwatch
) -> WrittenImages:
    """Return the written images of a job's signals; none where nothing is left of them."""
    return WrittenImages(
        workspace=job.opened(),
        signals=left,
        networks=networks,
        form=job.options.form,
        limits=job.limits,
        batch=job.compute.batch,
        batches=Batches("score", device),
        watch=watch,
    )


def _renderer(
    job: EnhanceJob, networks: Networks, weights: Weights, device: str, watch: Stopwatch
) -> Renderer:
    """Return a renderer for the signals of a job, with its codec loaded on a device."""

    def load(precision: Precision) -> TimedCodec:
        with watch.lap("load networks"):
            codec = load_codec(job.codec, device, precision, weights)
            tiled = TiledCodec(codec, job.compute.tile, gathered.hear)
            return remembered(TimedCodec(tiled, watch), precision)

    operator, _, _ = read_operator(job.opened(), job.dataset, job.operator)
    signals = dict.fromkeys(output.signal for output in (*job.enhanced, *job.tables))
    scored = frozenset(o.signal for o in job.tables if not o.signal.has_points)
    none = no_moments(operator.dimension)
    gathered = Gathered(moments=dict.fromkeys(scored - {CODEC_INPUT}, none))
    return Renderer(
        codec=load(job.compute.precision),
        operator=operator,
        options=job.options,
        fold=job.fold,
        transport=job.transport,
        signals=tuple(signal for signal in signals if not signal.has_points),
        scored=scored,
        batch=job.compute.batch,
        batches=Batches("enhance", device),
        watch=watch,
        networks=networks,
        precise=None if job.compute.precision == "float32" else partial(load, "float32"),
        curves=Curves.of(signals, job.curve, on_curve=job.curve_networks),
        gathered=gathered,
    )


def _networks(job: EnhanceJob, weights: Weights, device: str) -> Networks:
    """Return the networks of the metrics, whose weights must be those that the plan names."""
    if not job.tables:
        return Networks()
    lpips = job.lpips if job.reference else None
    return load_networks(lpips, job.networks, job.judges, job.identities, weights, device)


def _features(job: EnhanceJob, weights: Weights, used: Networks) -> Features:
    """Return which features the pass writes, and in which folders."""
    tables = [output.signal for output in job.tables]
    curves = Curves.of(tables, job.curve, on_curve=job.curve_networks)
    points = {table: curves.seen_of(table) for table in tables}
    lpips = lpips_name(job.lpips, weights) if job.lpips else NO_NETWORK
    networks = {"lpips": lpips, FIRST: NO_NETWORK, **job.networks}
    networks |= {name: name for name in job.judges}
    return Features(
        signals=points,
        folders={
            signal: features_folder(job.dataset, job.results, signal)
            for signals in points.values()
            for signal in signals
        },
        dimensions={name: each.dimension for name, each in used.extractors.items()},
        networks=networks,
        facts=facts_on_judges(used.judges),
    )


def _matches(job: EnhanceJob, workspace: Workspace) -> dict[str, Member]:
    """Return the ground truth by key; none where nothing is scored."""
    wanted = job.reference if job.tables else None
    return read_matches(workspace, job.dataset, wanted, job.shard) if wanted else {}
