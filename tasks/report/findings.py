"""All that is known of a run, as the report's page, as Markdown, and as JSON."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from PIL import Image

from dot_kernels import GaussianMoments, TransportOperator
from tasks.config import Config
from tasks.evaluate.summarise import read_summary, summary_facts, warnings_of
from tasks.fit.decision import decision_facts
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.workspace import reports_folder
from tasks.report.accounting import Count, Timing, count_images, time_steps
from tasks.report.gallery import Viewer
from tasks.report.missing_metrics import gaps, line_in_words
from tasks.report.pages import data_address, render_table
from tasks.report.provenance import (
    Fact,
    Spectra,
    counted,
    operator_facts,
    operator_lines,
    run_facts,
    weights_of,
)
from tasks.report.results import (
    curve_in_words,
    curve_table,
    number,
    ranked_digits,
    ranked_title,
    results_markdown,
    results_table,
    results_units,
)
from tasks.report.worst_and_best import Ends, signal_to_rank


class Findings(NamedTuple):
    """What a run has left in its workspace, read once."""

    config: Config
    operator_name: str
    rows: list[dict[str, Any]]
    facts: dict[str, str]
    operator: TransportOperator
    moments: dict[str, GaussianMoments]
    provenance: dict[str, Any]
    counts: list[Count]
    timings: list[Timing]

    @classmethod
    def of(cls, run: FittedRun) -> "Findings":
        """The findings of one enhanced data set."""
        summary = f"{reports_folder(run.config.restored_name, run.operator.name)}/fidelity"
        facts = summary_facts(run.workspace, summary)
        fitted, moments, provenance = read_operator(
            run.workspace, run.config.restored_name, run.operator.name
        )
        return cls(
            run.config,
            run.operator.name,
            read_summary(run.workspace, summary),
            facts,
            fitted,
            moments,
            provenance | decision_facts(run),
            count_images(run),
            time_steps(run, facts),
        )

    @property
    def gaps(self) -> list[str]:
        """What is not in the table, and why."""
        return gaps(self.config, self.rows, self.facts)

    @property
    def spectra(self) -> Spectra:
        """What the operator's figure shows."""
        return Spectra.of(self.operator, self.moments)

    @property
    def operator_numbers(self) -> dict[str, Any]:
        """What to look at before the map is trusted."""
        return operator_facts(self.operator, self.provenance)


def page_facts(
    findings: Findings,
    *,
    ends: Sequence[Ends],
    viewers: tuple[list[Viewer], list[Viewer]],
    curve: bytes | None,
    spectrum: bytes,
) -> dict[str, Any]:
    """What the page's template asks for."""
    config, facts = findings.config, findings.facts
    names = {viewer.key: viewer.name for group in viewers for viewer in group}
    snaps = config.enhance.interpolation == "latent"
    return {
        "title": f"{config.name}: deep optimal transport",
        "subtitle": f"Data set {config.restored_name}, operator {findings.operator_name}",
        "tiles": _tiles(findings),
        "gaps": findings.gaps,
        "warnings": warnings_of(facts),
        "results": results_table(findings.rows, facts),
        "legend": _legend(findings.rows, facts),
        "points": curve_table(findings.rows, facts),
        "curve": data_address(curve, "image/png") if curve else None,
        "curve_size": _size(curve) if curve else None,
        "curve_alt": curve_in_words(findings.rows, facts),
        "curve_note": line_in_words(findings.rows),
        "gallery": viewers[0],
        "extremes": viewers[1],
        "snaps": snaps,
        "how_to": _how_to(snaps),
        "ranked": signal_to_rank(config).label,
        "ends": [_ends(end, facts, names) for end in ends],
        "run": run_facts(config, findings.provenance, facts),
        "operator_name": f"Operator {findings.operator_name} of {config.restored_name}",
        "operator": operator_lines(findings.operator_numbers),
        "spectrum": data_address(spectrum, "image/png"),
        "spectrum_size": _size(spectrum),
        "spectrum_alt": findings.spectra.in_words(),
        "counts": findings.counts,
        "timings": [_timing(timing) for timing in findings.timings],
        "configuration": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    }


def report_text(findings: Findings) -> str:
    """The report in Markdown; it has no times, so that equal runs give equal bytes."""
    notes = [f"- {text}" for text in (*warnings_of(findings.facts), *findings.gaps)]
    lines = [[f.name, f.value, f.meaning] for f in operator_lines(findings.operator_numbers)]
    counts = [[c.step, str(c.images), c.refused_in_words()] for c in findings.counts]
    parts = [
        f"# {findings.config.name}: deep optimal transport",
        results_markdown(findings.rows, findings.facts),
        f"{_legend(findings.rows, findings.facts)} Bold marks the best enhanced value of a column.",
        *(["\n".join(notes) + "\n"] if notes else []),
        f"## Operator {findings.operator_name}",
        render_table(["", "value", "meaning"], lines),
        "## Images",
        render_table(["step", "images", "refused or unscored"], counts),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def run_record(findings: Findings, ends: Sequence[Ends]) -> str:
    """Everything in numbers, as strict JSON; infinity, the PSNR of equal images, is a word."""
    config = findings.config
    record = {
        "name": config.name,
        "dataset": config.restored_name,
        "operator_name": findings.operator_name,
        "operator": findings.operator_numbers,
        "fit": findings.provenance,
        "weights": weights_of(config, findings.facts),
        "metrics": dict(findings.facts) | {"warnings": warnings_of(findings.facts)},
        "columns": results_units(findings.facts),
        "results": findings.rows,
        "gaps": findings.gaps,
        "warnings": warnings_of(findings.facts),
        "extremes": {
            "signal": signal_to_rank(config).label,
            "metrics": [_listed(end) for end in ends],
        },
        "spectra": findings.spectra._asdict(),
        "counts": [count._asdict() for count in findings.counts],
        "timings": [t._asdict() | {"images_per_second": t.rate} for t in findings.timings],
        "config": config.model_dump(mode="json"),
    }
    return json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _legend(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, str]) -> str:
    """How the numbers of the results table are to be read."""
    present = {name for row in rows for name, value in row.items() if value is not None}
    sentences = [
        "Means over the images that have the metric; ± is the standard error of one row. All rows "
        "share the same images, so differences between alphas are known better than ± suggests."
    ]
    if present & {"kernel_spread", "inception_score_spread"}:
        sentences.append(
            "For kernel distance and Inception Score ± is the spread over subsets or splits."
        )
    if "kernel_corrected" in present:
        sentences.append(
            f"{facts['kernel_name']} corrected leaves out the comparison of an image with its own "
            "reference, which makes the plain one too small."
        )
    if "frechet_extrapolated" in present:
        sentences.append("A name with ∞ is extrapolated to infinitely many images.")
    return " ".join(sentences)


def _tiles(findings: Findings) -> list[Fact]:
    """What a reader wants to know first."""
    config, provenance = findings.config, findings.provenance
    codec = config.codec
    size = f"factor {codec.factor}" if codec.kind == "pixel" else ""
    return [
        Fact("enhanced", counted(findings.counts[-1].images, "image")),
        Fact("at", counted(len(config.enhance.alphas), "alpha")),
        Fact("codec", f"{codec.kind} {size}".rstrip()),
        Fact("fit", f"{provenance['pairing']}, {counted(provenance['images'], 'image')}"),
        Fact("decoding", config.enhance.decoding),
    ]


def _how_to(snaps: bool) -> str:
    if snaps:
        return "The alpha slider goes through the written alphas."
    return (
        "Between images, x̂ is linear in alpha, so between two written alphas the page blends their "
        "pictures."
    )


def _ends(end: Ends, facts: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """A line of the table of best and worst images, with links to their viewers."""
    digits = ranked_digits(end.metric)
    sides = {
        side: [
            {"key": e.key, "value": number(e.value, digits), "viewer": names.get(e.key)}
            for e in extremes
        ]
        for side, extremes in (("worst", end.worst), ("best", end.best))
    }
    return {"title": ranked_title(end.metric, facts), **sides}


def _listed(end: Ends) -> dict[str, Any]:
    return {
        "metric": end.metric,
        "worst": [extreme._asdict() for extreme in end.worst],
        "best": [extreme._asdict() for extreme in end.best],
    }


def _timing(timing: Timing) -> dict[str, str]:
    return {
        "step": timing.step,
        "seconds": _brief(timing.seconds),
        "rate": "–" if timing.rate is None else _brief(timing.rate),
        "parts": ", ".join(f"{name} {_brief(seconds)} s" for name, seconds in timing.parts.items()),
    }


def _brief(value: float) -> str:
    """Three digits that count, and no power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _size(picture: bytes) -> tuple[int, int]:
    """Width and height of a figure, in pixels."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.size
