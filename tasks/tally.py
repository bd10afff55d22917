"""What a run counted and timed, read back from its records and tables for the report."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from tasks.config import Config
from tasks.enhance import signals_to_score
from tasks.io.shards import read_table
from tasks.io.workspace import (
    Signal,
    Workspace,
    dataset_folder,
    enhanced_folder,
    metrics_folder,
    moments_folder,
)
from tasks.jobs import count_reasons
from tasks.measure import measure_name
from tasks.select import plan_selection, read_selection


def count_images(config: Config, operator: str, workspace: Workspace) -> list[dict[str, Any]]:
    """Images offered and refused, for every data set and for the metrics."""
    counts = []
    for dataset in config.datasets():
        artifact = f"{dataset_folder(dataset)}/index"
        (record, *_) = workspace.ledger.survey(dataset_folder(dataset)).records(artifact)
        facts = workspace.ledger.facts(record)
        counts.append(_count(f"shard {dataset}", facts["images"], facts["refused"]))
    counts += _fit_counts(config, workspace)
    signal = signals_to_score(config)[0]
    images, reasons = 0, list[str]()
    for shard in workspace.shards(config.restored_name):
        folder = metrics_folder(config.restored_name, operator, signal)
        table = read_table(workspace.store, f"{folder}/{shard}.parquet", ["status", "reason"])
        images += table.num_rows
        unscored = table.filter(pc.not_equal(table["status"], "ok"))
        reasons += [str(reason) for reason in unscored["reason"].to_pylist()]
    counts.append(_count(f"enhance {config.restored_name}", images, count_reasons(reasons)))
    return counts


def _fit_counts(config: Config, workspace: Workspace) -> list[dict[str, Any]]:
    """Images measured on both sides of the fit, and what could not be decoded or encoded."""
    selection = read_selection(workspace, plan_selection(config, workspace)[0])
    sides = {config.source_name: selection.source, config.natural_name: selection.target}
    counts = []
    for dataset, chosen in sides.items():
        folder = moments_folder(dataset, measure_name(config))
        survey = workspace.ledger.survey(folder)
        images, refused = 0, Counter[str]()
        for shard in chosen:
            facts = workspace.ledger.facts(survey.records(f"{folder}/{shard}")[-1])
            images += facts["images"]
            refused.update(facts["refused"])
        counts.append(_count(f"fit on {dataset}", images, refused))
    return counts


def _count(step: str, images: int, refused: Mapping[str, int]) -> dict[str, Any]:
    listed = ", ".join(f"{number} × {reason}" for reason, number in refused.items())
    return {"step": step, "images": images, "refused": listed or "none"}


def add_laps(config: Config, operator: str, workspace: Workspace) -> list[dict[str, str]]:
    """Where the time of the enhancement went, over all shards."""
    folder = enhanced_folder(
        config.restored_name, operator, Signal("enhanced", config.enhance.alphas[0])
    )
    survey = workspace.ledger.survey(folder)
    seconds: Counter[str] = Counter()
    images = 0
    for artifact in survey.artifacts():
        facts = workspace.ledger.facts(survey.records(artifact)[-1])
        seconds.update(facts["laps"])
        images += facts["images"]
    total = sum(seconds.values())
    laps = [{"name": name, "value": f"{value:.1f} s"} for name, value in seconds.items()]
    if total > 0:
        laps.append({"name": "images per second of one worker", "value": f"{images / total:.2f}"})
    return laps
