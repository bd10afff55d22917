"""A sentence on how much tiles that were blended differed where they overlap."""

import math
from collections.abc import Iterable, Mapping
from typing import Any


def seams_in_words(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of images that the codec decoded in blended tiles.

    Args:
        records: bodies of the records of the enhanced shards.

    Returns:
        one sentence; none where no image was larger than a tile, or tiles change nothing.
    """
    found = [record["seams"] for record in records if "seams" in record]
    count = sum(seams["count"] for seams in found)
    if not count:
        return []
    rms = math.sqrt(sum(seams["rms"] ** 2 * seams["count"] for seams in found) / count)
    largest = max(seams["largest"] for seams in found)
    return [
        "The codec saw large images in tiles that were blended where they overlap: there they "
        f"differed by {rms:.1f} of 255 levels (root mean square), and by {largest:.0f} at most. "
        "A larger compute.tile makes fewer seams."
    ]
