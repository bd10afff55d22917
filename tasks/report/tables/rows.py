"""Which rows of the fidelity table are shown, and what they are."""

from collections.abc import Mapping, Sequence

from tasks.evaluate.overlap import overlap_of
from tasks.report.tables.names import Row, columns_of

_CONTROLS = ("codec", "codec_input")

_MEANINGS = {
    "input": "the image as it came, x*",
    "codec": "the codec’s reconstruction D(E(x)) of the ground truth",
    "codec_input": "its reconstruction D(E(x*)) of the input",
}


def told_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that tell something, without those of curve and map.

    Where the codec loses nothing, its reconstruction of the ground truth is the ground truth and
    that of the input the input, and neither row tells anything.
    """
    is_exact = any(
        (row["signal"] == "codec" and row.get("mse") == 0)
        or (row["signal"] == "codec_input" and row.get("indrmse") == 0)
        for row in rows
    )
    hidden = {"curve", "map", *(_CONTROLS if is_exact else ())}
    return [row for row in rows if row["signal"] not in hidden]


def shown_rows(rows: Sequence[Row], facts: Mapping[str, str]) -> list[Row]:
    """The rows of written alphas, and of the controls that have a value and tell something.

    Where no image has a reference, ``images`` is how many were enhanced.
    """
    shown = [
        row
        for row in told_rows(rows)
        if row["signal"] == "enhanced" or any(m.column != "images" for m in columns_of([row]))
    ]
    return with_counts(shown, facts)


def with_counts(rows: Sequence[Row], facts: Mapping[str, str]) -> list[Row]:
    """The rows; where none has images with a reference, with how many were enhanced, if known."""
    if any(row.get("images") for row in rows):
        return list(rows)
    overlap = overlap_of(facts)
    enhanced = None if overlap is None else overlap.featured.measured + overlap.featured.left_out
    return [{**row, "images": enhanced} for row in rows]


def meanings_of_rows(rows: Sequence[Row], facts: Mapping[str, str]) -> dict[str, str]:
    """What the rows are that are shown beside the enhanced images, by their labels."""
    signals = {row["signal"] for row in shown_rows(rows, facts)}
    return {signal: text for signal, text in _MEANINGS.items() if signal in signals}
