"""Bad images: how many of a table were refused, for which reasons, and whether too many."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.errors import TooManyBadImages
from tasks.jobs import Outcome, count_reasons

METADATA_LEFT_OUT = tuple(f"{name} left out: " for name in ("colour profile", "Exif", "XMP"))
"""What stands in the reason of an image whose file says more than goes along."""


class RefusedIn(NamedTuple):
    """How many images of one shard a step has refused, by kind of reason."""

    dataset: str
    """The data set, or where its images are made from another one's, that other one."""
    shard: str
    by_kind: Mapping[str, int]
    at_intake: bool = False
    """Whether the step takes files in, so that no later step meets what it has refused."""


def counted_once(refusals: Iterable[RefusedIn]) -> dict[str, int]:
    """Return how many images were refused, by kind of reason, each of them counted once.

    An image that cannot be decoded is refused by every step after the intake that decodes its
    shard: when patches are measured, at enhancement, and as a restored one. The steps take
    the same images or some of them, so what the step that refuses the most has refused counts.

    Args:
        refusals: of any steps and shards, in any order.
    """
    total, later = Counter[str](), Counter[tuple[str, str, str]]()
    for refused in refusals:
        if refused.at_intake:
            total.update(refused.by_kind)
            continue
        for kind, images in refused.by_kind.items():
            place = (refused.dataset, refused.shard, kind)
            later[place] = max(later[place], images)
    for (_, _, kind), images in later.items():
        total[kind] += images
    return dict(sorted(total.items()))


def outcome_of(index: pa.Table) -> Outcome:
    """Return how many images an index lists, and how many of them were refused, by kind.

    And of how many that are not a part is left out of what their files say (``metadata_left_out``).
    """
    is_there = pc.equal(index["status"], "ok")
    said = [str(reason) for reason in index.filter(is_there)["reason"].to_pylist() if reason]
    without = sum(any(part in reason for part in METADATA_LEFT_OUT) for reason in said)
    remarks = {"metadata_left_out": without} if without else {}
    return Outcome(images=index.num_rows, refused=refused_in(index), remarks=remarks)


def refused_in(table: pa.Table) -> Counter[str]:
    """Return how many images of an index, or of a table of metrics, were refused, by kind.

    Args:
        table: with the columns ``status`` and ``reason``; a kind is a reason up to its colon.
    """
    refused = table.filter(pc.equal(table["status"], "refused"))["reason"]
    return Counter(count_reasons([str(reason) for reason in refused.to_pylist()]))


def require_few_bad(
    dataset: str, images: int, refused: Mapping[str, int], max_bad_fraction: float
) -> None:
    """Check that no more images were refused than the configuration allows.

    Args:
        dataset: name of the data set, for the message.
        images: how many there were, accepted or not.
        refused: how many were refused, by kind.
        max_bad_fraction: share of the images, in [0, 1], that may be refused.

    Raises:
        TooManyBadImages: the share is larger.
    """
    bad = sum(refused.values())
    if images and bad / images > max_bad_fraction:
        listed = ", ".join(f"{count} × {kind}" for kind, count in sorted(refused.items()))
        raise TooManyBadImages(
            f"at most {max_bad_fraction:.1%} of {dataset} may be refused, got {bad} of "
            f"{images} ({listed}); `dotpipe refused CONFIG` names them; shards.max_bad_fraction "
            "sets the limit; the next run takes files in that were mended, `dotpipe retry CONFIG` "
            "tries the others again"
        )
