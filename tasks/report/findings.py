"""All that is known of a finished run, as the report's page, as Markdown, and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from dot_kernels import GaussianMoments, TransportOperator
from dot_kernels.levels import latent_part, level_parts
from dot_kernels.rounds import AnyOperator, rounds_of
from tasks.config import Config
from tasks.evaluate.curve import with_map
from tasks.evaluate.summarise import read_summary, summary_facts, warnings_of
from tasks.fit.decision import decision_facts
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.workspace import reports_folder
from tasks.report.accounting import (
    Count,
    Timing,
    count_images,
    enhancement_records,
    time_steps,
)
from tasks.report.made_with import made_with, seams_in_words, weights_of
from tasks.report.measured_images import measured_in_words
from tasks.report.missing_metrics import gaps
from tasks.report.outcome import outcome, shrunk_in_words
from tasks.report.pages import render_table
from tasks.report.pictures.worst_and_best import Ends, signal_to_rank
from tasks.report.provenance import (
    Spectra,
    decoder_table,
    operator_facts,
    operator_lines,
    rounds_table,
)
from tasks.report.tables.changes import changes_legend, changes_table
from tasks.report.tables.dials import two_dials_in_words
from tasks.report.tables.map import gain_in_words, levels_table, levels_title
from tasks.report.tables.names import footnote, results_legend, results_units
from tasks.report.tables.results import results_table


class Findings(NamedTuple):
    """What a finished run has left in its workspace, read once.

    ``rows`` and ``facts`` are the fidelity table's and its metadata; the curve has in the rows
    what the map knows of it.
    """

    config: Config
    operator_name: str
    rows: list[dict[str, Any]]
    facts: dict[str, str]
    operator: TransportOperator
    moments: dict[str, GaussianMoments]
    provenance: dict[str, Any]
    levels: dict[str, dict[str, Any]]
    """Diagnostics of the maps of activations, by the level of the decoder."""
    rounds: dict[str, dict[str, Any]]
    """Diagnostics of all maps of further rounds, by round and level."""
    counts: list[Count]
    timings: list[Timing]
    made_with: dict[str, Any]
    seams: list[str]
    """Sentences on tiles that were blended."""

    @classmethod
    def of(cls, run: FittedRun) -> "Findings":
        """The findings of one enhanced data set.

        Raises:
            ArtifactDamaged: a table or record is not there, or not whole.
        """
        summary = f"{reports_folder(run.config.restored_name, run.results)}/fidelity"
        facts = summary_facts(run.workspace, summary)
        fitted, moments, provenance = read_operator(
            run.workspace, run.config.restored_name, run.operator.name
        )
        records = enhancement_records(run)
        return cls(
            run.config,
            run.operator.name,
            with_map(read_summary(run.workspace, summary)),
            facts,
            latent_part(rounds_of(fitted)[0]),
            moments,
            provenance | decision_facts(run),
            _levels_of_round(fitted),
            _maps_of_further_rounds(fitted),
            count_images(run),
            time_steps(run, facts),
            made_with(records),
            seams_in_words(records),
        )

    @property
    def gaps(self) -> list[str]:
        """Sentences about what is not in the results table, and why."""
        return [
            *gaps(self.config, self.rows),
            *self.seams,
            *two_dials_in_words(self.config.enhance),
            *shrunk_in_words(self.provenance),
        ]

    @property
    def spectra(self) -> Spectra:
        """The eigenvalues and gains that the operator's figure shows."""
        return Spectra.of(self.operator, self.moments)

    @property
    def operator_numbers(self) -> dict[str, Any]:
        """Numbers of the operator that say how far its map can be relied on."""
        return operator_facts(self.operator, self.provenance)


def report_text(findings: Findings) -> str:
    """The report in Markdown; without times, so that equal runs give equal bytes."""
    said = (*warnings_of(findings.facts), *findings.gaps)
    notes = [f"- {text}" for text in said]
    legend = results_legend(findings.rows, findings.facts)
    lines = [[f.name, f.value, f.meaning] for f in operator_lines(findings.operator_numbers)]
    decoder, further = decoder_table(findings.levels), rounds_table(findings.rounds)
    changes = changes_table(findings.rows, findings.facts)
    paired = ["## Change against the input", changes.markdown(), changes_legend()]
    levels = levels_table(findings.rows, findings.facts)
    title = levels_title(findings.rows, findings.facts)
    gain = gain_in_words(findings.rows, findings.facts)
    dials = [f"## Two dials: {title}", levels.markdown(), gain] if levels.lines else []
    counts = [[c.step, str(c.images), c.refused_in_words()] for c in findings.counts]
    parts = [
        f"# {findings.config.name}: deep optimal transport",
        *outcome(findings.rows, findings.facts),
        *measured_in_words(findings.facts),
        results_table(findings.rows, findings.facts).markdown(),
        f"{legend} Bold marks the best enhanced value of a column.",
        *([mark] if (mark := footnote(findings.rows, findings.facts)) else []),
        *(["\n".join(notes) + "\n"] if notes else []),
        *(paired if changes.lines else []),
        *(part for part in dials if part),
        f"## Operator {findings.operator_name}",
        render_table(["", "value", "meaning"], lines),
        *(table.markdown() for table in (decoder, further) if table.lines),
        "## Images",
        render_table(["step", "images", "refused or unscored"], counts),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def run_record(findings: Findings, ends: Sequence[Ends]) -> str:
    """All findings as strict JSON, in which infinity, the PSNR of equal images, is "inf"."""
    config = findings.config
    record = {
        "name": config.name,
        "made_with": findings.made_with,
        "dataset": config.restored_name,
        "operator_name": findings.operator_name,
        "operator": findings.operator_numbers,
        "fit": findings.provenance
        | ({"levels": findings.levels} if findings.levels else {})
        | ({"rounds": findings.rounds} if findings.rounds else {}),
        "weights": weights_of(config, findings.facts),
        "metrics": dict(findings.facts) | {"warnings": warnings_of(findings.facts)},
        "outcome": outcome(findings.rows, findings.facts),
        "measured": measured_in_words(findings.facts),
        "columns": results_units(findings.facts),
        "results": findings.rows,
        "gaps": findings.gaps,
        "warnings": warnings_of(findings.facts),
        "extremes": {
            "signal": signal_to_rank(config).label,
            "metrics": [end.in_numbers() for end in ends],
        },
        "spectra": findings.spectra._asdict(),
        "counts": [count._asdict() for count in findings.counts],
        "timings": [t._asdict() | {"images_per_second": t.rate} for t in findings.timings],
        "config": config.model_dump(mode="json"),
    }
    return json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _levels_of_round(operator: AnyOperator, number: int = 0) -> dict[str, dict[str, Any]]:
    """Diagnostics of the maps of activations of a round, by the level of the decoder."""
    parts = level_parts(rounds_of(operator)[number])
    return {str(level): asdict(each.diagnostics) for level, each in parts.items()}


def _maps_of_further_rounds(operator: AnyOperator) -> dict[str, dict[str, Any]]:
    """Diagnostics of the maps of all rounds after the first, by what they are called."""
    found = dict[str, dict[str, Any]]()
    for number, each in enumerate(rounds_of(operator)[1:], 1):
        name = f"round {number + 1}"
        found[name] = asdict(each.diagnostics)
        levels = _levels_of_round(operator, number)
        found |= {f"{name}, level {level}": known for level, known in levels.items()}
    return found


def _plain(value: Any) -> Any:
    """The value with numbers that JSON lacks as words, and tuples as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
