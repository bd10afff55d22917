"""Extract the features of a data set's own images, which the enhanced ones are compared with.

Several networks see the images in one pass, in which each of them is decoded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import NamedTuple

from prefect import task

from tasks.config import Run
from tasks.config.compute import Compute
from tasks.evaluate.features.pictures import Window, pictures_with_features
from tasks.io.artifacts.features import FeatureWriter
from tasks.io.images import Limits
from tasks.io.ledger import Publication
from tasks.io.machine.devices import leased
from tasks.io.networks.batches import Batches
from tasks.io.networks.digests import require_identity
from tasks.io.networks.features.extractors import (
    Network,
    extractor_identity,
    feature_folder,
    load_extractor,
)
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.weights import Weights
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


class Extraction(NamedTuple):
    """A table of features, and the network whose they are.

    ``identity`` is that of the network, which must still be the one that was planned with.
    """

    network: Network
    identity: dict[str, str]
    target: Target


class ExtractJob(Job):
    """Extract the features of the images of one shard, by one or more networks."""

    extractions: tuple[Extraction, ...]
    dataset: str
    shard: str
    weights: str | None
    compute: Compute
    limits: Limits

    def targets(self) -> list[Target]:
        """The tables that are missing of the shard."""
        return [extraction.target for extraction in self.extractions]

    def claim(self) -> str:
        """The shard: runs with other networks wait for it."""
        return f"features/{self.dataset}/{self.shard}"

    def subject(self) -> Subject:
        """The shard whose images the features are of."""
        return Subject(self.dataset, self.shard)


@task(name="extract", task_run_name="extract {job.dataset} {job.shard}", **SHARD_POLICY)
def extract_features(job: ExtractJob) -> Outcome:
    """Write the features of one shard, unless they are there already."""
    return told("extracted", job, carry_out(job, write_features))


def plan_extraction(run: Run) -> Iterator[Planned]:
    """A unit for every shard of the data sets to compare with, with its job if that is missing.

    There are none where no network is configured, or the weights of none are at hand.
    """
    networks = run.config.evaluate.networks.values()
    found = ((network, extractor_identity(network, run.weights)) for network in networks)
    identities = {network: identity for network, identity in found if identity is not None}
    for dataset in run.config.against_names if identities else ():
        yield from _plan_dataset(run, dataset, identities)


def _plan_dataset(
    run: Run, dataset: str, identities: Mapping[Network, dict[str, str]]
) -> Iterator[Planned]:
    """A unit for every shard of one data set; it bears the data set's name if there are two."""
    several = len(run.config.against_names) > 1
    folders = {
        n: dataset_features_folder(dataset, feature_folder(i)) for n, i in identities.items()
    }
    surveys = {network: run.workspace.ledger.survey(each) for network, each in folders.items()}
    shards = run.workspace.ledger.survey(dataset_folder(dataset))
    for shard, images in run.workspace.shards(dataset).items():
        digest = finished_digest(shards, f"{dataset_folder(dataset)}/{shard}")
        artifacts = {network: f"{folder}/{shard}" for network, folder in folders.items()}
        missing = list[Extraction]()
        for network, identity in identities.items():
            inputs = {"shard": digest, "features": identity}
            target = aim(surveys[network], artifacts[network], "extract", inputs)
            missing += [] if target is None else [Extraction(network, identity, target)]
        job = _job(run, dataset, shard, missing) if missing else None
        unit = f"{dataset} {shard}" if several else shard
        yield Planned(unit, images, job, tuple(artifacts.values()))


def _job(run: Run, dataset: str, shard: str, missing: Sequence[Extraction]) -> ExtractJob:
    return ExtractJob(
        workspace=run.workspace.url,
        extractions=tuple(missing),
        dataset=dataset,
        shard=shard,
        weights=run.config.weights,
        compute=run.config.compute,
        limits=run.config.shards.limits(),
    )


def write_features(job: ExtractJob) -> Outcome:
    """Extract the features of one shard, and publish them as a table for each network."""
    with leased(job.compute.device) as device:
        return timed(device, partial(_write, job, device))


def _write(job: ExtractJob, device: str, watch: Stopwatch) -> Outcome:
    workspace, batches, images = job.opened(), Batches("extract", device), 0
    with watch.lap("load networks"):
        extractors = _extractors(job, device)
    with ExitStack() as stack:
        tables = [_Table.opened(job, each, extractors, stack) for each in job.extractions]
        with watch.lap("read"):
            members = workspace.members(job.dataset, job.shard)
        for window in pictures_with_features(
            workspace.store,
            members,
            extractors,
            batch=job.compute.batch,
            limits=job.limits,
            batches=batches,
            watch=watch,
        ):
            images += len(window)
            for table in tables:
                table.add(window)
            advance(len(window))
        batches.require_room()
        # The time of a pass that they share is told in equal parts, so that their sum is right.
        laps = {lap: seconds / len(tables) for lap, seconds in watch.so_far().items()}
        outcomes = [table.closed(images, batches.remarks, laps) for table in tables]
    return outcomes[0]


def _extractors(job: ExtractJob, device: str) -> dict[str, Extractor]:
    """The networks of a job on a device, which must be those that it was planned with."""
    weights, found = Weights.of(job.weights), dict[str, Extractor]()
    for network, identity, _ in job.extractions:
        found[network] = load_extractor(network, device, weights)
        require_identity(extractor_identity(network, weights), identity)
    return found


class _Table(NamedTuple):
    """The table of one network's features on its way."""

    network: Network
    publication: Publication
    writer: FeatureWriter
    reasons: list[str]
    """Why images have no features."""

    @classmethod
    def opened(
        cls,
        job: ExtractJob,
        extraction: Extraction,
        extractors: Mapping[str, Extractor],
        stack: ExitStack,
    ) -> "_Table":
        """A table that is published when the stack ends well."""
        network, _, target = extraction
        publication = stack.enter_context(publishing(job.opened(), target))
        path = publication.file(f"{target.artifact}.parquet")
        writer = FeatureWriter(path, extractors[network].dimension, network)
        return cls(network, publication, stack.enter_context(closing(writer)), [])

    def add(self, window: Window) -> None:
        """Append pictures."""
        found = [(p.member.key, seen[self.network]) for p, seen in window if self.network in seen]
        self.writer.add([key for key, _ in found], [one.features for _, one in found])
        lost = (picture for picture, seen in window if self.network not in seen)
        self.reasons.extend(picture.reason or TOO_SMALL for picture in lost)

    def closed(self, images: int, remarks: dict[str, int], laps: Mapping[str, float]) -> Outcome:
        """Write the end of the table; return what its record says."""
        self.writer.close()
        refused = count_reasons(self.reasons)
        outcome = Outcome(images=images, refused=refused, remarks=remarks)
        self.publication.facts |= {**outcome.facts(), "laps": laps}
        return outcome
