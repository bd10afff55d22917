"""Needs: a configuration goes in; what it needs of its workspace comes out, as far as is known.

Where that cannot be known, as after a run that was killed, everything that it may need counts.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tasks.config import Config, Run
from tasks.enhance.signals import absent_weights
from tasks.fit.decision import decision_artifact, read_decision
from tasks.fit.operators import find_operator, fitted
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.networks.features.extractors import extractor_identity
from tasks.io.networks.weights import Weights
from tasks.io.workspace import (
    KINDS,
    features_folder,
    latest_artifact,
    operator_artifact,
    operator_of,
    results_folders,
)
from tasks.pipeline import whole_pipeline


class Needs(NamedTuple):
    """What must stay in a workspace."""

    artifacts: frozenset[str]
    folders: frozenset[str] = frozenset()
    """Folders and artifacts that stay with all below them: it is not known what is needed of it."""
    doubt: str = ""
    """A sentence that says why, and what to do; empty where all that is needed is known."""

    def hold(self, path: str) -> bool:
        """Return whether an artifact, or a file in a folder, must stay."""
        if path in self.artifacts or not self.folders:
            return path in self.artifacts
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self.folders for depth in range(1, len(parts) + 1))


def needs_of(config: Config) -> Needs:
    """Return what a configuration needs; what it may need too, where that cannot be known."""
    run, named = Run.of(config), set[str]()
    try:
        for step in whole_pipeline(run):
            for unit in step.units():
                named.update(unit.artifacts)
    except StepMissing as error:
        doubt = (
            f"{config.name!r} has not been run to its end, so all that it may need is kept "
            f"({error}); run it, or drop it with --drop {config.name} if it is not wanted any more"
        )
    except DotpipeError as error:
        doubt = f"what {config.name!r} needs cannot be known here, so all of it is kept: {error}"
    else:
        return _with_features(run, named)
    named |= {latest_artifact(config.name)}
    return Needs(frozenset(named), frozenset(_folders_of(run)), doubt)


def operators_in_use(run: Run) -> set[str]:
    """Return the names of the operators of a run's data set that its configuration uses.

    They are the one that it has now; where it has none, because it has not been run to its end,
    the one that it had before; and that of its newest report.

    Raises:
        DotpipeError: this cannot be known, as where the weights of the codec are missing.
    """
    found = {operator_of(results) for results in _reported_results(run)}
    try:
        return found | {find_operator(run).name}
    except StepMissing:
        pass
    if run.workspace.ledger.records(decision_artifact(run.config)):
        found.add(read_decision(run).operator)
    return found


def _with_features(run: Run, named: set[str]) -> Needs:
    """Return named artifacts as needs; features of data sets that cannot be named stay whole.

    So do those of the results, of which it is not known what they are added up to.
    """
    config = run.config
    networks, weights = config.evaluate.networks.values(), Weights.of(config.weights)
    if all(extractor_identity(network, weights) is not None for network in networks):
        return Needs(frozenset(named))
    doubt = (
        f"which features {config.name!r} needs cannot be known, so all of them are kept: "
        f"{absent_weights(config)}"
    )
    folders = {f"features/{dataset}" for dataset in config.against_names}
    folders |= {features_folder(config.restored_name, fitted(run).results)}
    return Needs(frozenset(named), frozenset(folders), doubt)


def _folders_of(run: Run) -> Iterator[str]:
    """Yield the folders of all that the configuration of an unfinished run may need.

    Of operators and what was made with them these are the ones in use, or all, if that cannot be
    known.
    """
    own = run.config.restored_name
    for dataset in run.config.datasets():
        yield from (f"{kind}/{dataset}" for kind in KINDS if dataset != own)
    try:
        found = {fitted(run).results} | _reported_results(run)
    except DotpipeError:
        yield from (f"{kind}/{own}" for kind in KINDS)
        return
    yield from (f"datasets/{own}", f"moments/{own}", f"restorers/{own}")
    for results in found:
        yield from (operator_artifact(own, operator_of(results)), *results_folders(own, results))


def _reported_results(run: Run) -> set[str]:
    """Return the results whose report a configuration's newest leads to; none without."""
    ledger, dataset = run.workspace.ledger, run.config.restored_name
    for record in ledger.records(latest_artifact(run.config.name)):
        kind, name, results, *_ = f"{ledger.facts(record)['inputs']['report']}///".split("/")
        if (kind, name) == ("reports", dataset):
            return {results}
    return set()
