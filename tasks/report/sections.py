"""What the page shows, section by section, as its template asks for it."""

from collections.abc import Sequence
from typing import Any

import yaml

from tasks.evaluate.summarise import warnings_of
from tasks.report.findings import Findings
from tasks.report.made_with import made_with_lines
from tasks.report.measured_images import gelbrich_in_words, measured_in_words
from tasks.report.missing_metrics import line_in_words
from tasks.report.outcome import outcome
from tasks.report.pages import Fact, counted, data_address, size_of
from tasks.report.pictures.gains import gains_in_words
from tasks.report.pictures.gallery import Comparison
from tasks.report.pictures.worst_and_best import Ends, signal_to_rank
from tasks.report.provenance import decoder_table, operator_lines, rounds_table, run_facts
from tasks.report.tables.changes import changes_legend, changes_table
from tasks.report.tables.dials import share_in_words
from tasks.report.tables.map import (
    gain_in_words,
    levels_table,
    levels_title,
    map_in_words,
    map_table,
)
from tasks.report.tables.names import footnote, heading, results_legend
from tasks.report.tables.results import (
    curve_heading,
    curve_in_words,
    curve_table,
    has_more_columns,
    main_results,
    results_table,
    theory_in_words,
)
from tasks.report.tables.rows import meanings_of_rows


def page_facts(
    findings: Findings,
    *,
    ends: Sequence[Ends],
    comparisons: tuple[list[Comparison], list[Comparison]],
    curve: bytes | None,
    dials: bytes | None,
    spectrum: bytes,
) -> dict[str, Any]:
    """What the page's template asks for.

    Args:
        findings: of the run.
        ends: the worst and the best images.
        comparisons: a few images, and those at the ends, in all their versions.
        curve: the figure of the curve as PNG, if there is one.
        dials: that of the map of two dials.
        spectrum: the figure of the operator as PNG.
    """
    config, facts = findings.config, findings.facts
    return {
        "title": f"{config.name}: deep optimal transport",
        "subtitle": f"Data set {config.restored_name}, operator {findings.operator_name}",
        "tiles": _tiles(findings),
        **_results_section(findings),
        **_curve_section(findings, curve),
        **_map_section(findings, dials),
        **_image_sections(findings, ends, comparisons),
        "run": run_facts(config, findings.provenance, facts),
        "made_with": made_with_lines(findings.made_with),
        **_operator_section(findings, spectrum),
        "counts": findings.counts,
        "timings": [timing.in_words() for timing in findings.timings],
        "configuration": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    }


def _results_section(findings: Findings) -> dict[str, Any]:
    rows, facts = findings.rows, findings.facts
    return {
        "outcome": outcome(rows, facts),
        "measured": measured_in_words(facts),
        "warnings": warnings_of(facts),
        "results": main_results(rows, facts),
        "all_results": results_table(rows, facts) if has_more_columns(rows, facts) else None,
        "footnote": footnote(rows, facts),
        "legend": results_legend(rows, facts),
        "meanings": meanings_of_rows(rows, facts),
        "gelbrich": gelbrich_in_words(facts),
        "changes": changes_table(rows, facts),
        "changes_legend": changes_legend(),
        "gaps": findings.gaps,
    }


def _curve_section(findings: Findings, curve: bytes | None) -> dict[str, Any]:
    title, trade = curve_heading(findings.rows)
    return {
        "curve_title": title,
        "curve_trade": trade,
        "points": curve_table(findings.rows, findings.facts),
        "curve": data_address(curve, "image/png") if curve else None,
        "curve_size": size_of(curve) if curve else None,
        "curve_alt": curve_in_words(findings.rows, findings.facts),
        "curve_note": f"{theory_in_words(findings.rows)} {line_in_words(findings.rows)}".strip(),
    }


def _map_section(findings: Findings, picture: bytes | None) -> dict[str, Any]:
    rows, facts = findings.rows, findings.facts
    return {
        "map": data_address(picture, "image/png") if picture else None,
        "map_size": size_of(picture) if picture else None,
        "map_alt": map_in_words(rows, facts),
        "map_gain": gain_in_words(rows, facts),
        "map_sigma": f"{findings.config.enhance.low_sigma:g}",
        "map_share": f"{findings.config.enhance.share_of_low_frequencies:g}",
        "map_levels_title": levels_title(rows, facts),
        "map_levels": levels_table(rows, facts),
        "map_points": map_table(rows, facts),
    }


def _image_sections(
    findings: Findings,
    ends: Sequence[Ends],
    comparisons: tuple[list[Comparison], list[Comparison]],
) -> dict[str, Any]:
    names = {comparison.key: comparison.name for group in comparisons for comparison in group}
    snaps = findings.config.enhance.interpolation == "latent"
    return {
        "gallery": comparisons[0],
        "extremes": comparisons[1],
        "snaps": snaps,
        "how_to": _how_to(snaps),
        "ranked": signal_to_rank(findings.config).label,
        **_gains_figure(findings, ends),
        "ends": [end.in_words(findings.facts, names) for end in ends],
    }


def _gains_figure(findings: Findings, ends: Sequence[Ends]) -> dict[str, Any]:
    """The histograms of the images' gains; without them where the input has no metrics."""
    from tasks.report.figures.histogram import gains_histogram

    gains = {heading(end.entry, findings.facts): end.gains for end in ends if end.gains is not None}
    picture = gains_histogram(gains)
    return {
        "are_gains": bool(gains),
        "gains": data_address(picture, "image/png") if picture else None,
        "gains_size": size_of(picture) if picture else None,
        "gains_alt": gains_in_words(gains),
    }


def _operator_section(findings: Findings, spectrum: bytes) -> dict[str, Any]:
    return {
        "operator_name": f"Operator {findings.operator_name} of {findings.config.restored_name}",
        "operator": operator_lines(findings.operator_numbers),
        "decoder": decoder_table(findings.levels),
        "rounds": rounds_table(findings.rounds),
        "spectrum": data_address(spectrum, "image/png"),
        "spectrum_size": size_of(spectrum),
        "spectrum_alt": findings.spectra.in_words(),
    }


def _tiles(findings: Findings) -> list[Fact]:
    """The few facts at the head of the page."""
    config, provenance = findings.config, findings.provenance
    codec, band = config.codec, config.enhance.low_band
    size = f"factor {codec.factor}" if codec.kind == "pixel" else getattr(codec, "entry", "")
    return [
        Fact("enhanced", counted(findings.counts[-1].images, "image")),
        Fact("at", counted(len(config.enhance.alphas), "alpha")),
        Fact("codec", f"{codec.kind} {size}".rstrip()),
        Fact("fit", f"{provenance['pairing']}, {counted(provenance['images'], 'image')}"),
        Fact("decoding", config.enhance.decoding),
        *([Fact("low frequencies", share_in_words(band))] if band else []),
        *([Fact("levels", " ".join(findings.levels))] if findings.levels else []),
        *([Fact("applied", f"{config.reapply + 1} times")] if config.reapply else []),
    ]


def _how_to(snaps: bool) -> str:
    if snaps:
        return "The alpha slider goes through the written alphas."
    return (
        "Between images, x̂ is linear in alpha, so between two written alphas the page blends their "
        "pictures."
    )
