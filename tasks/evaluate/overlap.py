"""Whether the measured images are those of the fit, and which of them the numbers leave out.

Where enough others remain, numbers are over images that the operator was not fitted on. The fit
draws its images by a hash of their keys, so which are left out is no matter of their content,
and an image that is added changes it only where it is drawn itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.fitted_images import Fit, fitted_keys
from tasks.io.workspace import Workspace

ENOUGH = 100
"""Images that must remain where those of the fit are left out; of features as many as the fit's."""

NOTHING = frozenset[str]()


class Share(BaseModel):
    """How many images a number is over, and what those of the fit are among them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measured: int
    """Images that the number is over."""
    fitted: int
    """How many of these the operator was fitted on."""
    left_out: int
    """How many others there are, which the operator was fitted on."""

    @classmethod
    def of(cls, images: int, fitted: int, fewest: int | None) -> "Share":
        """Leave the images of the fit out where so many remain; ``fewest`` is None for never."""
        if fewest is None or not fitted or images - fitted < fewest:
            return cls(measured=images, fitted=fitted, left_out=0)
        return cls(measured=images - fitted, fitted=0, left_out=fitted)


class Overlap(BaseModel):
    """What the images of the fit are among those of the results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    known: bool = True
    """Whether it is known which images the operator was fitted on."""
    scored: Share
    """Images with metrics against their references."""
    featured: Share
    """Images that have features, or would have with a network."""
    compared: dict[str, Share] = {}
    """Images that features are compared with, by data set."""


class LeftOut(BaseModel):
    """The keys that numbers leave out."""

    model_config = ConfigDict(frozen=True)

    scored: frozenset[str] = NOTHING
    featured: frozenset[str] = NOTHING
    compared: dict[str, frozenset[str]] = {}


def find_overlap(
    tables: ScoreTables, compared: Sequence[str], fit: Fit, *, leave_out: bool
) -> tuple[Overlap, LeftOut]:
    """What the images of the fit are among those of the results, and the keys to leave out.

    Args:
        tables: of the signal whose images stand for those of all others, so that every row of
            the results is over the same images.
        compared: data sets that features are compared with.
        fit: of the operator.
        leave_out: whether images of the fit are left out where enough others remain.
    """
    workspace, dataset = tables.workspace, tables.dataset
    ours = fitted_keys(workspace, fit, dataset)
    (scored, scored_fitted), (enhanced, fitted) = _count(tables, ours or NOTHING)
    known = ours is not None
    theirs = {name: fitted_keys(workspace, fit, name) or NOTHING for name in compared}
    few, many = (ENOUGH, max(ENOUGH, fitted)) if leave_out else (None, None)
    overlap = Overlap(
        known=known,
        scored=Share.of(scored, scored_fitted, few),
        featured=Share.of(enhanced, fitted, many),
        compared={name: _share_of(workspace, name, theirs[name], leave_out) for name in compared},
    )
    return overlap, LeftOut(
        scored=(ours or NOTHING) if overlap.scored.left_out else NOTHING,
        featured=(ours or NOTHING) if overlap.featured.left_out else NOTHING,
        compared={
            name: theirs[name] if share.left_out else NOTHING
            for name, share in overlap.compared.items()
        },
    )


def without(table: pa.Table, keys: frozenset[str]) -> pa.Table:
    """The rows of a table whose key is none of these."""
    if not keys:
        return table
    return table.filter(pc.invert(pc.is_in(table["key"], value_set=pa.array(keys, pa.string()))))


def overlap_of(facts: Mapping[str, str]) -> Overlap | None:
    """The overlap in the metadata of a fidelity table; None if an older version wrote it."""
    text = facts.get("overlap")
    return None if text is None else Overlap.model_validate_json(text)


def overlap_facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The overlap for the metadata of the fidelity table, from the rows of the signals."""
    text = next((row["overlap"] for row in rows if row.get("overlap")), None)
    return {} if text is None else {"overlap": text}


def _count(tables: ScoreTables, ours: frozenset[str]) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many images have metrics, and how many are enhanced; of each how many are the fit's."""
    scored = enhanced = (0, 0)
    for table in tables.read(["key", "status"]):
        scored = _counted(scored, table.filter(pc.equal(table["status"], "ok")), ours)
        made = table.filter(pc.not_equal(table["status"], "refused"))
        enhanced = _counted(enhanced, made, ours)
    return scored, enhanced


def _counted(before: tuple[int, int], rows: pa.Table, ours: frozenset[str]) -> tuple[int, int]:
    """Both counts with those of more rows."""
    fitted = rows.num_rows - without(rows, ours).num_rows
    return before[0] + rows.num_rows, before[1] + fitted


def _share_of(workspace: Workspace, dataset: str, keys: frozenset[str], leave_out: bool) -> Share:
    images = sum(workspace.shards(dataset).values())
    return Share.of(images, len(keys), max(ENOUGH, len(keys)) if leave_out else None)
