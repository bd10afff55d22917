"""What a run counted and how long it took, from its records and tables, for the report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow.compute as pc

from tasks.config import Config, Run
from tasks.config.step_names import (
    TRAINING,
    data_set_step,
    enhancement_step,
    features_step,
    level_step,
    round_step,
)
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.latent_size import levels_of
from tasks.fit.levels.plan import plan_level_measurement
from tasks.fit.measurement_plan import chosen_by_dataset, measure_of, measured_shards
from tasks.fit.operators import FittedRun
from tasks.fit.rounds.plan import plan_round_measurement
from tasks.fit.select import plan_selection, read_selection
from tasks.io.artifacts.more_metrics import more_networks
from tasks.io.ledger import Record, Survey
from tasks.io.networks.features.extractors import FIRST, feature_folder
from tasks.io.workspace import (
    Signal,
    Workspace,
    dataset_features_folder,
    dataset_folder,
    enhanced_folder,
    features_folder,
    operator_artifact,
    reports_folder,
)
from tasks.jobs import Planned, count_reasons
from tasks.train.plan import plan_segments


class Count(NamedTuple):
    """How many images a step was given, and how many of them it refused, by kind of reason."""

    step: str
    images: int
    refused: dict[str, int]

    def refused_in_words(self) -> str:
        """How many were refused for each reason, or "none"."""
        return ", ".join(f"{n} × {reason}" for reason, n in self.refused.items()) or "none"


class Timing(NamedTuple):
    """How long the work of a step took, all its workers added up, and on how many images.

    ``parts`` says where the time went, if that was measured.
    """

    step: str
    images: int | None
    seconds: float
    parts: dict[str, float]

    @property
    def rate(self) -> float | None:
        """Images per second of one worker; None where it is not known."""
        return self.images / self.seconds if self.images and self.seconds > 0 else None

    def in_words(self) -> dict[str, str]:
        """A line of the page's table of times, by column."""
        return {
            "step": self.step,
            "seconds": _brief(self.seconds),
            "rate": "–" if self.rate is None else _brief(self.rate),
            "parts": ", ".join(f"{name} {_brief(spent)} s" for name, spent in self.parts.items()),
        }


def count_images(run: FittedRun) -> list[Count]:
    """Images given and refused: of every data set, of the fit, and of the enhancement.

    Those of the enhancement that were refused include the ones without metrics.
    """
    counts = []
    for dataset in run.config.datasets():
        artifact = f"{dataset_folder(dataset)}/index"
        (record, *_) = run.workspace.ledger.survey(dataset_folder(dataset)).records(artifact)
        facts = run.workspace.ledger.facts(record)
        counts.append(Count(data_set_step(run.config, dataset), facts["images"], facts["refused"]))
    counts += _fit_counts(run)
    dataset, signal = run.config.restored_name, signals_to_score(run.config)[0]
    shards = run.workspace.shards(dataset)
    images, reasons = 0, Counter[str]()
    tables = ScoreTables(run.workspace, dataset, run.results, signal, shards)
    for table in tables.read(["status", "reason"]):  # the records do not count the unscored
        images += table.num_rows
        unscored = table.filter(pc.not_equal(table["status"], "ok"))
        reasons.update(count_reasons([str(r) for r in unscored["reason"].to_pylist()]))
    counts.append(Count(enhancement_step(run.config), images, dict(sorted(reasons.items()))))
    return counts


def time_steps(run: FittedRun, facts: Mapping[str, str]) -> list[Timing]:
    """The time that every step took, by the records of what it made.

    Args:
        run: a finished run.
        facts: the fidelity table's metadata, which say which network the features are by.
    """
    timings = [
        _time(data_set_step(run.config, dataset), records)
        for dataset in run.config.datasets()
        if (records := _shard_facts(run.workspace, dataset_folder(dataset)))
    ]
    timings.append(_time(TRAINING, _facts_of(run, plan_segments(run))))
    timings += _fit_timings(run)
    timings.append(_time(enhancement_step(run.config), enhancement_records(run)))
    timings += [_features_timing(run, facts), _evaluation(run)]
    return [timing for timing in timings if timing.seconds > 0]


def enhancement_records(run: FittedRun) -> list[dict[str, Any]]:
    """The bodies of the records of the enhanced shards, at the first alpha."""
    signal = Signal("enhanced", run.config.enhance.alphas[0])
    folder = enhanced_folder(run.config.restored_name, run.results, signal)
    return _shard_facts(run.workspace, folder)


def _fit_counts(run: Run) -> list[Count]:
    """Images measured for the fit, source and target, and what could not be decoded or encoded."""
    counts = []
    for dataset, records in _fit_facts(run):
        images, refused = 0, Counter[str]()
        for facts in records:
            images += facts["images"]
            refused.update(facts["refused"])
        counts.append(Count(f"fit on {dataset}", images, dict(refused)))
    return counts


def _fit_facts(run: Run) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The source's and the target's data set, each with the records of its moments."""
    selection = read_selection(run.workspace, plan_selection(run)[0])
    ledger, measure = run.workspace.ledger, measure_of(run.config)
    for dataset, chosen in chosen_by_dataset(run.config, selection).items():
        shards = measured_shards(run, dataset, chosen, measure)
        yield dataset, [ledger.facts(ledger.records(each.artifact)[-1]) for each in shards]


def _facts_of(run: FittedRun, units: Iterable[Planned]) -> list[dict[str, Any]]:
    """The records of what units are made of, as far as they are made."""
    records = (
        record
        for unit in units
        for artifact in unit.artifacts
        for record in run.workspace.ledger.records(artifact)[-1:]
    )
    return [run.workspace.ledger.facts(record) for record in records]


def _fit_timings(run: FittedRun) -> list[Timing]:
    timings = [_time(f"measure {dataset}", records) for dataset, records in _fit_facts(run)]
    for number in range(run.config.reapply + 1):
        if number:
            units = plan_round_measurement(run, number)
            timings.append(_time(round_step(number), _facts_of(run, units)))
        timings += [
            _time(
                level_step(each, number), _facts_of(run, plan_level_measurement(run, each, number))
            )
            for each in levels_of(run.config)
        ]
    artifact = operator_artifact(run.config.restored_name, run.operator.name)
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
    facts = [run.workspace.ledger.facts(record) for record in survey.records(artifact)[-1:]]
    seconds = sum(fact["seconds"] for fact in facts)
    return [*timings, Timing("reduce", None, seconds, {})]


def _evaluation(run: FittedRun) -> Timing:
    """The time of features that are added up, of each signal's fidelity, and of the summary."""
    dataset, ledger = run.config.restored_name, run.workspace.ledger
    survey = ledger.survey(reports_folder(dataset, run.results))
    records = [survey.records(n)[-1] for n in survey.artifacts() if not n.endswith("/report")]
    records += ledger.survey(features_folder(dataset, run.results)).all()
    facts = map(ledger.facts, records)
    return Timing(
        f"evaluate {run.config.restored_name}", None, sum(fact["seconds"] for fact in facts), {}
    )


def _features_timing(run: FittedRun, facts: Mapping[str, str]) -> Timing:
    """The time of the features that this run was compared with, by all networks together."""
    by_network = [
        [each for folder in folders for each in _shard_facts(run.workspace, folder)]
        for folders in _feature_folders(run.config, facts)
    ]
    whole = _time(features_step(run.config), [each for records in by_network for each in records])
    images = (sum(each.get("images", 0) for each in records) for records in by_network)
    return whole._replace(images=max(images, default=0))


def _feature_folders(config: Config, facts: Mapping[str, str]) -> list[list[str]]:
    """The folders of the features that this run was compared with, for each network."""
    found, networks = [], {name: name for name in more_networks(facts)}
    for name, network in {FIRST: facts.get("network", ""), **networks}.items():
        if (sha256 := facts.get(f"{name}_sha256")) is not None:
            folder = feature_folder({"network": network, "sha256": sha256})
            found.append([dataset_features_folder(each, folder) for each in config.against_names])
    return found


def _shard_facts(workspace: Workspace, folder: str) -> list[dict[str, Any]]:
    """The bodies of the records of the shards in a folder."""
    survey = workspace.ledger.survey(folder)
    return [workspace.ledger.facts(record) for record in _shard_records(survey, folder)]


def _shard_records(survey: Survey, folder: str) -> Iterable[Record]:
    for artifact in survey.artifacts():
        if artifact.startswith(f"{folder}/shard-") and artifact.count("/") == folder.count("/") + 1:
            yield survey.records(artifact)[-1]


def _time(step: str, records: Iterable[Mapping[str, Any]]) -> Timing:
    """The sum over records; of a step that was timed in parts, its time is their sum."""
    images, seconds, parts = 0, 0.0, Counter[str]()
    for facts in records:
        images += facts.get("images", 0)
        laps = facts.get("laps", {})
        parts.update(laps)
        seconds += sum(laps.values()) if laps else facts["seconds"]
    return Timing(step, images, seconds, dict(parts))


def _brief(value: float) -> str:
    """Three significant digits, without a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
