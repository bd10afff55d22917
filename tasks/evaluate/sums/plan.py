"""Which features are added up, and what of it is missing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from tasks.config import Run
from tasks.enhance.curves.seen import is_seen
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.features.published import Leaves
from tasks.evaluate.features.tables import FeatureTables
from tasks.evaluate.fidelity_targets import (
    UNKNOWN_FIT,
    Compared,
    fidelity_targets,
    is_paired,
    scores_of,
)
from tasks.evaluate.sums.add import ComparedSumJob, SignalSumJob, SumJob
from tasks.evaluate.sums.leaves import leaves_of
from tasks.fit.fitted_images import Fit
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.feature_sums import SumFile
from tasks.io.errors import StepMissing
from tasks.io.networks.features.extractors import FIRST
from tasks.io.workspace import (
    INPUT,
    Signal,
    compared_folder,
    features_folder,
    metrics_folder,
    points_of,
    sums_folder,
)
from tasks.jobs import Planned, Recipe


def plan_sums(opened: Run, found: Callable[[], FittedRun]) -> Iterator[Planned]:
    """Yield a unit for every leaf of what is compared, with its job if its sums are missing.

    None are missing where the fidelity that they are for has been measured. There are no units
    where no data set is large, as far as its size is known yet, or where nothing has features.

    Args:
        opened: the configuration and its workspace.
        found: gives the same with its operator; called where a data set is large.

    Raises:
        StepMissing: the operator, some metrics or features are missing.
    """
    if not any(_is_large(opened, dataset) for dataset in _compared_names(opened)):
        return
    run = found()
    compared = Compared.of(run)
    sums = Sums(run, compared)
    missing = {each.signal for each in fidelity_targets(run, compared) if each.target is not None}
    asked = missing | {INPUT for signal in missing if is_paired(run, signal)}
    for signal in signals_to_score(run.config):
        yield from sums.of_signal(signal, asked=signal in asked)
    for tables in compared.tables():
        yield from sums.of_compared(tables, asked=bool(missing))


def _compared_names(run: Run) -> tuple[str, ...]:
    """The data sets whose features are compared; none without networks."""
    config = run.config
    return (config.restored_name, *config.against_names) if config.evaluate.networks else ()


def _is_large(run: Run, dataset: str) -> bool:
    """Whether a data set has leaves; not of one that has not been made yet."""
    try:
        return bool(leaves_of(run.workspace.shards(dataset)))
    except StepMissing:
        return False


class _Set(NamedTuple):
    """A set of images whose features are added up."""

    label: str
    dataset: str
    """Whose shards they are of."""
    artifacts: str
    """What the names of the artifacts of its leaves begin with, before the names of shards."""
    digests: Sequence[str]
    """Of what has the features of each shard, in order."""
    job: Callable[..., SumJob]
    """What adds up a leaf, but for what it is told of it."""


class Sums:
    """What the features of a run are added up to, leaf by leaf."""

    def __init__(self, run: FittedRun, compared: Compared) -> None:
        """Prepare the recipe of all leaves.

        Args:
            run: whose signals they are.
            compared: what these are compared with.
        """
        self._run, self._dataset = run, run.config.restored_name
        self._has_features, self._fit = bool(compared.tables()), Fit.of(run)
        inputs = {"operator": run.operator.digest, "sample": run.config.evaluate.sample}
        inputs |= {} if self._fit.is_known(run.workspace) else UNKNOWN_FIT
        self._recipe = Recipe("add up", inputs)
        self._shards = cache(run.workspace.shards)
        self._leaves = cache(lambda dataset: leaves_of(self._shards(dataset)))
        self._survey = cache(run.workspace.ledger.survey)

    def of_signal(self, signal: Signal, *, asked: bool = True) -> Iterator[Planned]:
        """Yield the leaves of a signal; none where nothing has features of it.

        Args:
            signal: one that has a metric table.
            asked: whether sums that are not there are to be made.

        Raises:
            StepMissing: some metrics have not been computed.
        """
        results, has_features = self._run.results, self._has_features
        is_large = bool(self._leaves(self._dataset))
        if not (is_large and has_features and is_seen(self._run.config, signal)):
            return
        job = partial(
            SignalSumJob,
            results=results,
            signal=signal,
            points=points_of(signal, self._run.config.curve_alphas),
            networks=tuple(n for n in self._run.config.evaluate.networks if n != FIRST),
        )
        folder = sums_folder(features_folder(self._dataset, results, signal))
        tables = self._survey(metrics_folder(self._dataset, results))
        digests = scores_of(self._run, tables, signal, self._shards(self._dataset))
        artifacts = f"{folder}/"
        yield from self._units(_Set(signal.label, self._dataset, artifacts, digests, job), asked)

    def of_compared(self, tables: FeatureTables, *, asked: bool = True) -> Iterator[Planned]:
        """Yield the leaves of a data set to compare with, by one network.

        Args:
            tables: that its features are in.
            asked: whether sums that are not there are to be made.
        """
        dataset, network = tables.dataset, tables.network
        folder = compared_folder(self._dataset, self._run.results, dataset, network)
        job = partial(ComparedSumJob, network=network)
        label = f"{dataset} by {network}"
        # Else they would go with shards of the restored data set that have the same names.
        artifacts = f"{folder}/from-"
        yield from self._units(_Set(label, dataset, artifacts, tables.digests, job), asked)

    def leaves_of(self, signal: Signal) -> Leaves:
        """Return the leaves that have a signal's sums; none where its tables are to be read.

        Raises:
            StepMissing: some are missing, or some metrics have not been computed.
        """
        made = self._made(self.of_signal(signal))
        return tuple((artifact.rpartition("/")[2], mark) for artifact, mark in made)

    def added(self, tables: FeatureTables) -> FeatureTables:
        """Return the tables of a data set to compare with, with their sums if they have any.

        Raises:
            StepMissing: some sums are missing.
        """
        made = self._made(self.of_compared(tables)) if tables.paths else ()
        sums = tuple(SumFile(f"{artifact}.safetensors", mark) for artifact, mark in made)
        return tables.model_copy(update={"sums": sums})

    def _units(self, images: _Set, asked: bool) -> Iterator[Planned]:
        survey, start = self._survey(images.artifacts.rpartition("/")[0]), 0
        for leaf in self._leaves(images.dataset):
            digests = images.digests[start : start + len(leaf.shards)]
            start += len(leaf.shards)
            artifact, job = f"{images.artifacts}{leaf.name}", None
            target = self._recipe.aim(survey, artifact, tables=digests) if asked else None
            if target is not None:
                job = images.job(
                    workspace=self._run.workspace.url,
                    target=target,
                    dataset=images.dataset,
                    shards=leaf.shards,
                    digests=tuple(digests),
                    images=leaf.images,
                    fit=self._fit,
                    sample=self._run.config.evaluate.sample,
                )
            mark = self._recipe.mark(tables=digests)
            yield Planned(f"{images.label} {leaf.name}", leaf.images, job, (artifact,), mark)

    def _made(self, units: Iterable[Planned]) -> Iterator[tuple[str, str]]:
        """Yield the artifact of each leaf, and the fingerprint of what its sums are of."""
        for unit in units:
            (artifact,) = unit.artifacts
            if unit.job is not None:
                raise StepMissing(
                    f"the features of {unit.unit} must have been added up, but have not; run "
                    "`dotpipe evaluate CONFIG` first"
                )
            yield artifact, unit.fingerprint
