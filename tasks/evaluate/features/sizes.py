"""How many features and images there are, and warnings where distances need more images."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.io.artifacts.metric import FEATURED
from tasks.io.artifacts.more_metrics import distance_of, more_networks

_SIZES = ("dimension", "reference_images")


def sizes_of(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, str]:
    """The dimensions of features, and KID's subsets, for the metadata of the fidelity table.

    Args:
        rows: of the signals.
        names: of the metrics, as ``metric_names`` gives them.
    """
    known = [f"{size}{end}" for end in _networks(names) for size in _SIZES]
    sizes = {name: [row[name] for row in rows if row.get(name)] for name in (*known, "subset_size")}
    return {name: str(min(values)) for name, values in sizes.items() if values}


def size_warnings(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """Sentences on distances of features that too few images make unreliable.

    Args:
        rows: of the signals.
        names: of the metrics, as ``metric_names`` gives them.
    """
    sizes = {name: int(value) for name, value in sizes_of(rows, names).items()}
    found = []
    for end, name in _networks(names).items():
        if (dimension := sizes.get(f"dimension{end}")) is None:
            continue
        images = min(row[f"{FEATURED}{end}"] for row in rows if row.get(f"{FEATURED}{end}"))
        reference = sizes[f"reference_images{end}"]
        if min(images, reference) < dimension:
            found.append(
                f"{name} compares covariances of {dimension} features, but there are {images} "
                f"images and {reference} to compare with: below {dimension} of each it is far too "
                "large and compares only runs over the same images"
                + ("." if end else "; the extrapolation does not mend this.")
            )
    if sizes.get("subset_size", 1000) < 1000:
        found.append(
            f"{names['kernel_name']} is averaged over subsets of {sizes['subset_size']} images "
            "instead of 1000, as there are so few; its spread is that of such subsets."
        )
    return found


def _networks(names: Mapping[str, str]) -> dict[str, str]:
    """How columns and sizes of each network end, with what its Fréchet distance is called."""
    metrics = map(distance_of, more_networks(names))
    more = {m.featured.removeprefix(FEATURED): names[f"{m.column}_name"] for m in metrics}
    return {"": names.get("frechet_name", ""), **more}
