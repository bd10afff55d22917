"""Write the report: tables, curve, pictures, and what was run, in files that open anywhere."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from prefect import task

from tasks.config import Config
from tasks.evaluate import is_best, read_summary
from tasks.gallery import gallery
from tasks.io.figures import perception_distortion_curve
from tasks.io.pages import data_address, render_report, render_table
from tasks.io.perceptual import lpips_identity, lpips_name
from tasks.io.workspace import (
    Signal,
    Workspace,
    dataset_folder,
    enhanced_folder,
    reports_folder,
)
from tasks.jobs import Job, Target, aim
from tasks.policy import SHARD_POLICY, logger
from tasks.reduce import OperatorRef, read_operator
from tasks.shard import finished_digest
from tasks.tally import add_laps, count_images

COLUMNS = {
    "images": "images",
    "psnr": "PSNR ↑ (dB)",
    "ssim": "SSIM ↑",
    "lpips": "LPIPS ↓",
    "gelbrich": "Gelbrich ↓",
}

_MEANINGS = {
    "pairing": "whether both sides of the fit come from the same images",
    "images": "restored images the operator was fitted on",
    "branch": "deterministic (eq. 2) or stochastic (eq. 5, singular source)",
    "source_condition": "condition number of the source covariance, ridge included",
    "source_rank": "numerical rank of the source covariance",
    "largest_gain": "largest singular value of the map",
    "push_forward_error": "distance of the mapped covariance to the target's, relative",
    "gelbrich_before": "squared 2-Wasserstein distance of the two Gaussians",
    "gelbrich_after": "the same after the map",
    "map_standard_error": "jackknife over images, 1 = no better known than doing nothing",
    "ridge": "share of the mean variance added to every direction",
    "source_count": "latent patches of restored images",
    "target_count": "latent patches of natural images",
}


class ReportJob(Job):
    """Write the report of one enhanced data set."""

    target: Target
    config: Config
    operator: str


@task(name="report", **SHARD_POLICY)
def write_report(job: ReportJob) -> None:
    """Write the report's files; safe to repeat."""
    make_report(job)
    logger().info("wrote %s.html", job.target.artifact)


def plan_report(
    config: Config, operator: OperatorRef, workspace: Workspace
) -> tuple[str, ReportJob | None]:
    """The report's artifact, and the job that writes it if it is missing.

    Raises:
        StepMissing: the metrics have not been summarised.
    """
    folder = reports_folder(config.restored_name, operator.name)
    survey = workspace.ledger.survey(folder)
    finished_digest(survey, f"{folder}/fidelity", "evaluate")
    inputs = {
        "summary": survey.records(f"{folder}/fidelity")[-1].fingerprint,
        "images": [_index_digest(dataset, workspace) for dataset in config.datasets()],
        "pictures": _picture_digests(config, operator, workspace),
        "config": config.model_dump(mode="json"),
    }
    artifact = f"{folder}/report"
    target = aim(survey, artifact, "report", inputs)
    if target is None:
        return artifact, None
    job = ReportJob(workspace=workspace.url, target=target, config=config, operator=operator.name)
    return artifact, job


def _index_digest(dataset: str, workspace: Workspace) -> str:
    folder = dataset_folder(dataset)
    return finished_digest(workspace.ledger.survey(folder), f"{folder}/index")


def _picture_digests(config: Config, operator: OperatorRef, workspace: Workspace) -> list[str]:
    """The enhanced shards that the gallery shows.

    Raises:
        StepMissing: they have not been written.
    """
    shard = next(iter(workspace.shards(config.restored_name)))
    digests = []
    for alpha in config.enhance.alphas:
        folder = enhanced_folder(config.restored_name, operator.name, Signal("enhanced", alpha))
        survey = workspace.ledger.survey(folder)
        digests.append(finished_digest(survey, f"{folder}/{shard}", "enhance"))
    return digests


def make_report(job: ReportJob) -> None:
    """Gather what is known of a run, and write it as HTML, Markdown, PNG and JSON."""
    workspace, config = job.opened(), job.config
    folder = reports_folder(config.restored_name, job.operator)
    rows = read_summary(workspace, f"{folder}/fidelity")
    lpips = lpips_name(config.evaluate.lpips) if config.evaluate.lpips else "LPIPS"
    curve = perception_distortion_curve(rows, lpips)
    facts = {
        "title": f"{config.name}: deep optimal transport",
        "subtitle": f"data set {config.restored_name}, operator {job.operator}",
        "gaps": gaps(config, rows),
        "columns": ["", *COLUMNS.values()],
        "rows": [_cells(row, rows) for row in rows],
        "curve": data_address(curve, "image/png") if curve else None,
        "curve_alt": _curve_in_words(rows),
        "gallery": gallery(config, job.operator, workspace),
        "operator": _operator_facts(job, workspace),
        "counts": count_images(config, job.operator, workspace),
        "laps": add_laps(config, job.operator, workspace),
        "configuration": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    }
    with workspace.ledger.publishing(
        job.target.artifact, job.target.fingerprint, job.target.withdrawn
    ) as publication:
        publication.file(f"{folder}/report.html").write_text(render_report(facts), "utf-8")
        publication.file(f"{folder}/report.md").write_text(results_markdown(rows), "utf-8")
        if curve is not None:
            publication.file(f"{folder}/curve.png").write_bytes(curve)
        kept = ("gaps", "operator", "counts", "laps")
        run = {name: facts[name] for name in kept} | {
            "config": config.model_dump(mode="json"),
            "operator_name": job.operator,
            "results": [{name: _plain(value) for name, value in row.items()} for row in rows],
        }
        text = json.dumps(run, indent=1, ensure_ascii=False, allow_nan=False)
        publication.file(f"{folder}/run.json").write_text(text, "utf-8")


def _plain(value: Any) -> Any:
    """A value that JSON has; infinity, the PSNR of equal images, as a word."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def results_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The results table as Markdown, the best enhanced value of each column in bold."""
    cells = [
        [f"**{cell['text']}**" if cell["best"] else str(cell["text"]) for cell in _cells(row, rows)]
        for row in rows
    ]
    return render_table(["", *COLUMNS.values()], cells)


def results_text(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The results table as cells of plain text."""
    return [[str(cell["text"]) for cell in _cells(row, rows)] for row in rows]


def _cells(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cells of one row of the results table."""
    cells = [{"text": Signal(row["signal"], row["alpha"]).label, "best": False}]
    enhanced = [other for other in rows if other["signal"] == "enhanced"]
    for name in COLUMNS:
        value = row[name]
        best = (
            name != "images"
            and row in enhanced
            and value is not None
            and is_best(name, value, (other[name] for other in enhanced))
        )
        cells.append({"text": _number(name, value), "best": best})
    return cells


def _number(name: str, value: float | None) -> str:
    digits = {"images": 0, "psnr": 2, "ssim": 4, "lpips": 4, "gelbrich": 4}[name]
    return "–" if value is None else f"{value:.{digits}f}".replace("inf", "∞")


def gaps(config: Config, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader would miss in the table, and why it is not there."""
    found = []
    if config.natural_name == config.reference_name:
        found.append(
            "The operator was fitted on images that are scored here, as corpora.natural is not "
            "given, so the numbers are optimistic."
        )
    if config.reference_name is None:
        found.append("No reference corpus is given, so there are no distortion metrics.")
    elif config.evaluate.lpips is None:
        found.append("LPIPS was not asked for (evaluate.lpips is null).")
    elif lpips_identity(config.evaluate.lpips) is None:
        found.append(
            f"LPIPS is missing: the weights of its network ({config.evaluate.lpips}) could not be "
            "had. Put them into torch's hub folder (TORCH_HOME) and run `dotpipe evaluate` again."
        )
    elif "altered" in (lpips := lpips_name(config.evaluate.lpips)):
        found.append(f"LPIPS was computed with weights other than the published ones: {lpips}.")
    if any(row["images"] == 0 for row in rows) and config.reference_name is not None:
        found.append("Some signals have no image with metrics; the column `reason` says why.")
    return found


def _curve_in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The curve for those who do not see it."""
    points = [
        f"alpha {row['alpha']:g}: {_number('psnr', row['psnr'])} dB, "
        f"LPIPS {_number('lpips', row['lpips'])}, Gelbrich {_number('gelbrich', row['gelbrich'])}"
        for row in rows
        if row["signal"] == "enhanced"
    ]
    return "Perception-distortion curve. " + "; ".join(points)


def _operator_facts(job: ReportJob, workspace: Workspace) -> list[dict[str, str]]:
    dataset = job.config.restored_name
    operator, _, provenance = read_operator(workspace, dataset, job.operator)
    known = {**provenance, **dataclasses.asdict(operator.diagnostics)}
    return [
        {
            "name": name.replace("_", " "),
            "value": f"{value:.4g}" if isinstance(value, float) else str(value),
            "meaning": _MEANINGS.get(name, ""),
        }
        for name, value in known.items()
    ]
