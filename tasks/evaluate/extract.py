"""Extract the features of a data set's own images, which the enhanced ones are compared with."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from prefect import task
from torch import Tensor

from tasks.config import Run
from tasks.config.compute import Compute
from tasks.io.artifacts.features import FeatureWriter
from tasks.io.images import Limits
from tasks.io.images.pixels import to_bytes, to_tensor
from tasks.io.images.transparency import opacity, over_white
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches, no_room
from tasks.io.networks.digests import require_identity
from tasks.io.networks.features.extractors import (
    Network,
    extractor_identity,
    feature_folder,
    load_extractor,
    see,
)
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.large_images import in_bytes
from tasks.io.networks.weights import Weights
from tasks.io.shards.loader import LARGEST_IN_MEMORY, Picture, equal_sizes, load_pictures, windows
from tasks.io.workspace import dataset_features_folder, dataset_folder
from tasks.jobs import (
    Job,
    Outcome,
    Planned,
    Subject,
    Target,
    aim,
    carry_out,
    count_reasons,
    finished_digest,
    publishing,
)
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import advance
from tasks.jobs.stopwatch import Stopwatch, timed

TOO_SMALL = "no features: the image is too small for the network"


class ExtractJob(Job):
    """Extract the features of the images of one shard.

    ``identity`` is that of the network, which must still be the one that was planned with.
    """

    target: Target
    dataset: str
    shard: str
    network: Network
    weights: str | None
    identity: dict[str, str]
    compute: Compute
    limits: Limits

    def subject(self) -> Subject:
        """The shard whose images the features are of."""
        return Subject(self.dataset, self.shard)


@task(name="extract", task_run_name="extract {job.dataset} {job.shard}", **SHARD_POLICY)
def extract_features(job: ExtractJob) -> Outcome:
    """Write the features of one shard, unless they are there already."""
    return told("extracted", job, carry_out(job, write_features))


def plan_extraction(run: Run) -> Iterator[Planned]:
    """A unit for every shard of the data sets to compare with, with its job if that is missing.

    There are none where no network is configured, or its weights are not at hand.
    """
    network = run.config.evaluate.features
    identity = None if network is None else extractor_identity(network, run.weights)
    if network is None or identity is None:
        return
    for dataset in run.config.against_names:
        yield from _plan_dataset(run, dataset, network, identity)


def _plan_dataset(
    run: Run, dataset: str, network: Network, identity: dict[str, str]
) -> Iterator[Planned]:
    """A unit for every shard of one data set; it bears the data set's name if there are two."""
    several = len(run.config.against_names) > 1
    folder = dataset_features_folder(dataset, feature_folder(identity))
    survey = run.workspace.ledger.survey(folder)
    shards = run.workspace.ledger.survey(dataset_folder(dataset))
    for shard, images in run.workspace.shards(dataset).items():
        inputs = {
            "shard": finished_digest(shards, f"{dataset_folder(dataset)}/{shard}"),
            "features": identity,
        }
        target = aim(survey, f"{folder}/{shard}", "extract", inputs)
        unit = f"{dataset} {shard}" if several else shard
        if target is None:
            yield Planned(unit, images, None, (f"{folder}/{shard}",))
            continue
        job = ExtractJob(
            workspace=run.workspace.url,
            target=target,
            dataset=dataset,
            shard=shard,
            network=network,
            weights=run.config.weights,
            identity=identity,
            compute=run.config.compute,
            limits=run.config.shards.limits(),
        )
        yield Planned(unit, images, job, (f"{folder}/{shard}",))


def write_features(job: ExtractJob) -> Outcome:
    """Extract the features of one shard, and publish them as a table."""
    with leased(job.compute.device) as device:
        return timed(device, partial(_write, job, device))


def _write(job: ExtractJob, device: str, watch: Stopwatch) -> Outcome:
    workspace, batches = job.opened(), Batches("extract", device)
    reasons, images = list[str](), 0
    with watch.lap("load networks"):
        weights = Weights.of(job.weights)
        extractor = load_extractor(job.network, device, weights)
        require_identity(extractor_identity(job.network, weights), job.identity)
    with publishing(workspace, job.target) as publication:
        writer = FeatureWriter(
            publication.file(f"{job.target.artifact}.parquet"), extractor.dimension, job.network
        )
        for window in _windows(job, extractor, batches, watch):
            images += len(window)
            found = [(p.member.key, row) for p, row in window if not isinstance(row, str)]
            writer.add([key for key, _ in found], [row for _, row in found])
            reasons += [reason for _, reason in window if isinstance(reason, str)]
            advance(len(window))
        batches.require_room()
        writer.close()
        outcome = Outcome(images=images, refused=count_reasons(reasons), remarks=batches.remarks)
        publication.facts |= {**outcome.facts(), "laps": watch.so_far()}
    return outcome


def _windows(
    job: ExtractJob, extractor: Extractor, batches: Batches, watch: Stopwatch
) -> Iterator[list[tuple[Picture, Tensor | str]]]:
    """The pictures of a shard in the order of keys, with their features, or why they have none."""
    workspace, batch = job.opened(), job.compute.batch
    with watch.lap("read"):
        members = workspace.members(job.dataset, job.shard)
    with ThreadPoolExecutor(cores()) as pool:
        loaded = read_ahead(
            lambda window: load_pictures(workspace.store, window, job.limits, pool),
            windows(members, batch),
        )
        for pictures in watch.each("read", loaded):
            rows: dict[str, Tensor | str] = {p.member.key: p.reason or "" for p in pictures}
            for group in equal_sizes(pictures, batch):
                member = group[0].member
                with watch.lap("metrics"):
                    found = batches.run(_seen_by(extractor), group, member.width * member.height)
                for picture, row in zip(group, found, strict=True):
                    rows[picture.member.key] = no_room(picture) if row is None else row
            yield [(picture, rows[picture.member.key]) for picture in pictures]


def _seen_by(extractor: Extractor) -> Callable[[Sequence[Picture]], list[Tensor | str]]:
    """Gives the features of pictures of one size, or why they have none."""

    def features(group: Sequence[Picture]) -> list[Tensor | str]:
        rasters = [picture.raster for picture in group if picture.raster is not None]
        if rasters[0].height * rasters[0].width > LARGEST_IN_MEMORY:
            parts = [see(extractor, in_bytes(each.pixels, each)) for each in rasters]
            seen = [one for part in parts if part is not None for one in part] or None
        else:
            images = over_white(to_tensor([each.pixels for each in rasters]), opacity(rasters))
            seen = see(extractor, to_bytes(images))
        return [TOO_SMALL] * len(group) if seen is None else [one.features for one in seen]

    return features
