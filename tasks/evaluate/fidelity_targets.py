"""What the fidelity of each signal is measured from, and of which signals it is missing."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from tasks.enhance.signals import signals_to_score
from tasks.evaluate.features.tables import FeatureTables, MoreTables, feature_tables
from tasks.fit.fitted_images import Fit
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import versions_of
from tasks.io.ledger import Survey
from tasks.io.networks.features.extractors import FIRST
from tasks.io.workspace import INPUT, Signal, metrics_folder, signals_folder
from tasks.jobs import Target, aim, finished_digest

UNKNOWN_FIT = {"fit": "unknown"}
"""The input of numbers that count images of the fit, as it is not known which these are."""


class Compared(NamedTuple):
    """The tables of features that signals are compared with."""

    first: tuple[FeatureTables, ...]
    """By the first network, of one or two data sets; without paths where there is no network."""
    more: tuple[MoreTables, ...]
    """The same by further networks."""

    @classmethod
    def of(cls, run: FittedRun) -> "Compared":
        """The tables of a run.

        Raises:
            StepMissing: features of some shards have not been extracted.
        """
        networks = run.config.evaluate.networks
        tables = {
            name: tuple(feature_tables(run, each, network) for each in run.config.against_names)
            for name, network in {FIRST: None, **networks}.items()
        }
        others = ((name, network) for name, network in networks.items() if name != FIRST)
        more = (MoreTables(network=network, compared=tables[name]) for name, network in others)
        return cls(tables[FIRST], tuple(more))

    def tables(self) -> list[FeatureTables]:
        """Those by all networks, of all data sets that have features by them."""
        return [each for each in (*self.first, *_each(self.more)) if each.paths]

    def with_sums(self, added: Callable[[FeatureTables], FeatureTables]) -> "Compared":
        """The same tables, each with what ``added`` says that its features are added up to."""
        more = (
            each.model_copy(update={"compared": tuple(map(added, each.compared))})
            for each in self.more
        )
        return Compared(tuple(map(added, self.first)), tuple(more))


class FidelityTarget(NamedTuple):
    """The fidelity of a signal."""

    signal: Signal
    artifact: str
    target: Target | None
    """None if it has been measured."""


def fidelity_targets(run: FittedRun, compared: Compared) -> Iterator[FidelityTarget]:
    """Yield the fidelity of every signal that is scored.

    Args:
        run: whose signals they are.
        compared: what they are compared with.

    Raises:
        StepMissing: some metrics have not been computed.
    """
    dataset, ledger = run.config.restored_name, run.workspace.ledger
    folder = signals_folder(dataset, run.results)
    survey, tables = map(ledger.survey, (folder, metrics_folder(dataset, run.results)))
    shards = tuple(run.workspace.shards(dataset))
    scores = cache(lambda signal: scores_of(run, tables, signal, shards))
    known = {} if Fit.of(run).is_known(run.workspace) else UNKNOWN_FIT
    for signal in signals_to_score(run.config):
        read = (signal, INPUT) if is_paired(run, signal) else (signal,)
        inputs = {
            "operator": run.operator.digest,
            "scores": [digest for one in read for digest in scores(one)],
            "reference": [digest for each in compared.first for digest in each.digests],
            **_more_digests(compared.more),
            "sample": run.config.evaluate.sample,
            "torch-fidelity": version("torch-fidelity"),
            "fitted images": "left out" if run.config.evaluate.leave_out_fitted else "measured",
            **known,
            **versions_of("patches", "features"),
        }
        artifact = f"{folder}/{signal.folder}"
        yield FidelityTarget(signal, artifact, aim(survey, artifact, "fidelity", inputs))


def is_paired(run: FittedRun, signal: Signal) -> bool:
    """Whether each image of a signal is compared with itself before, at the input."""
    return signal != INPUT and INPUT in signals_to_score(run.config)


def scores_of(run: FittedRun, tables: Survey, signal: Signal, shards: Iterable[str]) -> list[str]:
    """The digests of a signal's metric tables, in the order of the shards.

    Args:
        run: whose signal it is.
        tables: the survey of the records of all its metric tables.
        signal: which has some.
        shards: names of all shards.

    Raises:
        StepMissing: some have not been computed.
    """
    folder = metrics_folder(run.config.restored_name, run.results, signal)
    return [finished_digest(tables, f"{folder}/{shard}", "evaluate") for shard in shards]


def _more_digests(more: Iterable[MoreTables]) -> dict[str, Any]:
    """The digests of features by further networks as an input; none where there are none."""
    found = {each.network: [d for one in each.compared for d in one.digests] for each in more}
    return {"more networks": found} if found else {}


def _each(more: Iterable[MoreTables]) -> Iterator[FeatureTables]:
    return (one for each in more for one in each.compared)
