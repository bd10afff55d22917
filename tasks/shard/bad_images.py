"""Bad images: how many of a table were refused, for which reasons, and whether that may be."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.errors import TooManyBadImages
from tasks.jobs import Outcome, count_reasons


def outcome_of(index: pa.Table) -> Outcome:
    """How many images an index has, and why some are not in the shard."""
    return Outcome(images=index.num_rows, refused=refused_in(index))


def refused_in(table: pa.Table) -> Counter[str]:
    """How many images of an index were refused, by kind of reason."""
    refused = table.filter(pc.equal(table["status"], "refused"))["reason"]
    return Counter(count_reasons([str(reason) for reason in refused.to_pylist()]))


def require_few_bad(
    dataset: str, images: int, refused: Mapping[str, int], max_bad_fraction: float
) -> None:
    """Check the share of refused images against the configuration's limit.

    Raises:
        TooManyBadImages: it is larger.
    """
    bad = sum(refused.values())
    if images and bad / images > max_bad_fraction:
        listed = ", ".join(f"{count} × {kind}" for kind, count in sorted(refused.items()))
        raise TooManyBadImages(
            f"at most {max_bad_fraction:.1%} of {dataset} may be refused, got {bad} of "
            f"{images} ({listed}); the column `reason` of datasets/{dataset}/shard-*.parquet, or "
            "of the metrics, says which; shards.max_bad_fraction sets the limit; the next run "
            "takes files in that were mended, `dotpipe retry CONFIG` tries the others again"
        )
