"""Changes: an artifact that is to be made again goes in; what has changed since comes out."""

from itertools import islice
from typing import Any

from tasks.io.errors import DotpipeError
from tasks.io.ledger import Ledger, Record
from tasks.jobs import Target

SAMPLE = 5
"""Records that are read of each step to say why it is out of date: one request each."""

_NAMES = {
    "alphas": "the curve's alphas",
    "chosen": "the images that the fit chooses",
    "checkpoint": "the last checkpoint of the training",
    "clean": "the clean shard",
    "clean images": "the clean images that are trained on",
    "config": "the configuration",
    "degraded": "the degraded shard",
    "degraded images": "the degraded images that are trained on",
    "features": "the weights or network of the features",
    "files": "the corpus's files",
    "forgotten": "the forgotten keys",
    "images": "the number of images, or the images",
    "keys": "the images that the fit chooses",
    "limits": "shards.max_pixels or shards.max_bytes",
    "lpips": "the weights or network of LPIPS",
    "match": "the reference's images",
    "operator": "the operator",
    "page": "this software's page",
    "path": "the corpus's path",
    "plug_in": "the package of enhance.format",
    "reference": "the reference",
    "replaced": "the corpus's match",
    "restorer": "the restorer or its weights",
    "scores": "the metrics of some shards",
    "shard": "the shard's images",
    "shards": "the shards",
    "source": "the restored images' moments or index",
    "summary": "the fidelity table",
    "tables": "the features of some shards",
    "target": "the natural images' moments or index",
    "tile": "compute.tile",
}
"""Names of inputs of fingerprints in words, where the name itself does not say what it is."""


_NETWORKS = ("features", "lpips")
"""Inputs that are None without a network: with none in the configuration, or without weights."""


def change_of(target: Target, ledger: Ledger) -> str:
    """Return in words which inputs have changed since an artifact was made.

    An operator or table with a new name is compared with the one beside it that differs least.
    """
    if target.again is not None:
        return "files can be read that could not"
    found = [_inputs(record, ledger) for record in _before(target, ledger)]
    changes = [
        [
            _told(name, before.get(name), target.inputs.get(name))
            for name in sorted(set(before) | set(target.inputs))
            if before.get(name) != target.inputs.get(name)
        ]
        for before in found
        if before is not None
    ]
    if found and not changes:
        return "its record cannot be read"
    fewest = min(changes, key=len, default=["it"])
    return f"{', '.join(fewest) or 'this software'} changed"


def _before(target: Target, ledger: Ledger) -> list[Record]:
    """Return the records of a target's artifact; if it has none, some of those in its folder."""
    folder = ledger.survey(target.artifact.rpartition("/")[0])
    beside = (record for name in folder.artifacts() for record in folder.records(name))
    return folder.records(target.artifact) or list(islice(beside, SAMPLE))


def _inputs(record: Record, ledger: Ledger) -> dict[str, Any] | None:
    """Return what an artifact was made from; None if its record is damaged, or just withdrawn."""
    try:
        found: dict[str, Any] = dict(ledger.facts(record)["inputs"])
    except (OSError, ValueError, LookupError, TypeError, DotpipeError):
        return None
    return found


def _told(name: str, before: Any, after: Any) -> str:
    """Return an input in words, with its values before and now where they are short."""
    if name == "versions":
        return f"this software's numbers{_of_kinds(before, after)}"
    if name in _NETWORKS and after is None:
        return f"{_NAMES[name]} (none now: not asked for, or not on this machine, see TORCH_HOME)"
    values = (before, after)
    plain = all(isinstance(value, str | int | float | None) for value in values)
    short = plain and all(len(str(value)) <= 24 for value in values)
    return f"{_NAMES.get(name, name)}{f' ({before} → {after})' if short else ''}"


def _of_kinds(before: Any, after: Any) -> str:
    """Return which kinds of numbers have another version; empty where a record tells none."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    kinds = sorted(kind for kind, version in after.items() if before.get(kind) != version)
    return f" of kind {', '.join(kinds)}" if kinds else ""
