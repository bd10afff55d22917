"""The pipeline's plain functions in a row, without Prefect: what its tasks call."""

from collections.abc import Iterable
from typing import Any

from tasks.config import Config
from tasks.enhance.enhance import write_enhanced
from tasks.enhance.match import plan_matches, write_matches
from tasks.enhance.plan import plan_enhancement
from tasks.evaluate.extract import plan_extraction, write_features
from tasks.evaluate.fidelity import plan_fidelity, write_fidelity
from tasks.evaluate.summarise import plan_summary, read_summary, write_summary
from tasks.fit.decide import make_decision, plan_decision
from tasks.fit.measure import plan_both_measurements, write_moments
from tasks.fit.operators import find_operator
from tasks.fit.reduce import plan_reduction, write_operator
from tasks.fit.select import plan_selection, read_selection, write_selection
from tasks.io.workspace import Workspace
from tasks.jobs import Planned
from tasks.shard.index import plan_index, write_index
from tasks.shard.restore import plan_restoration, write_restored_shard
from tasks.shard.retire import plan_retirement, retire
from tasks.shard.shard import plan_shards, write_corpus_shard


def shard(config: Config, workspace: Workspace) -> None:
    """All data sets, given and made."""
    for dataset, corpus in config.given_datasets().items():
        units = list(plan_shards(config, corpus, dataset, workspace))
        _run(units, write_corpus_shard)
        _index(config, dataset, units, workspace)
    for dataset, clean in config.made_datasets().items():
        units = plan_restoration(config, clean, dataset, workspace)
        _run(units, write_restored_shard)
        _index(config, dataset, units, workspace)
    job = plan_retirement(config, workspace)
    if job is not None:
        retire(job)


def fit(config: Config, workspace: Workspace) -> None:
    """The operator."""
    artifact, job = plan_selection(config, workspace)
    if job is not None:
        write_selection(job)
    selection = read_selection(workspace, artifact)
    _run(plan_both_measurements(config, selection, workspace), write_moments)
    decision = plan_decision(config, selection, workspace)
    if decision is not None:
        make_decision(decision)
    _, reduction = plan_reduction(config, selection, workspace)
    if reduction is not None:
        write_operator(reduction)


def enhance(config: Config, workspace: Workspace, *, tars: bool = True) -> None:
    """The enhanced data sets and their metrics, or the metrics alone."""
    matches = plan_matches(config, workspace)
    if matches is not None:
        write_matches(matches)
    operator = find_operator(config, workspace)
    _run(plan_enhancement(config, operator, workspace, tars=tars), write_enhanced)


def evaluate(config: Config, workspace: Workspace) -> list[dict[str, Any]]:
    """The rows of the summary."""
    operator = find_operator(config, workspace)
    _run(plan_extraction(config, workspace), write_features)
    _run(plan_fidelity(config, operator, workspace), write_fidelity)
    artifact, job = plan_summary(config, operator, workspace)
    return read_summary(workspace, artifact) if job is None else write_summary(job)


def run(config: Config) -> list[dict[str, Any]]:
    """All of it but the report; the rows of the summary."""
    workspace = Workspace(config.workspace)
    for step in (shard, fit, enhance):
        step(config, workspace)
    return evaluate(config, workspace)


def _run(units: Iterable[Planned], work) -> None:
    for unit in units:
        if unit.job is not None:
            work(unit.job)


def _index(config: Config, dataset: str, units: list[Planned], workspace: Workspace) -> None:
    job = plan_index(config, dataset, {unit.unit: unit.fingerprint for unit in units}, workspace)
    if job is not None:
        write_index(job)
