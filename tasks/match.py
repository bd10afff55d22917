"""Match the images to enhance with their ground truth, by key, shard by shard."""

import bisect
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import task

from tasks.config import Config
from tasks.io.errors import CorpusError
from tasks.io.ledger import digest_of
from tasks.io.shards import Member, members_of, read_table
from tasks.io.workspace import Workspace, dataset_folder, matches_folder
from tasks.jobs import Job, Target, aim, publishing
from tasks.policy import SHARD_POLICY, logger
from tasks.shard import finished_digest


class MatchJob(Job):
    """Find the ground truth of the images of some shards."""

    dataset: str
    reference: str
    by_shard: dict[str, Target]


class _Span(NamedTuple):
    """First and last accepted key of a row group of an index."""

    group: int
    first: str
    last: str


@task(name="match", **SHARD_POLICY)
def match_reference(job: MatchJob) -> int:
    """Write the matches of each shard; returns how many images have one."""
    matched = write_matches(job)
    logger().info("matched images=%d reference=%s", matched, job.reference)
    return matched


def plan_matches(config: Config, workspace: Workspace) -> MatchJob | None:
    """All shards whose matches are missing; None if there are none, or no reference."""
    if config.reference_name is None:
        return None
    dataset, reference = config.restored_name, config.reference_name
    folder = matches_folder(dataset, reference)
    survey = workspace.ledger.survey(folder)
    shards = workspace.ledger.survey(dataset_folder(dataset))
    truth = workspace.ledger.survey(dataset_folder(reference))
    digest = finished_digest(truth, f"{dataset_folder(reference)}/index")
    targets = {}
    for shard in workspace.shards(dataset):
        own = finished_digest(shards, f"{dataset_folder(dataset)}/{shard}")
        inputs = {"shard": own, "reference": digest}
        if target := aim(survey, f"{folder}/{shard}", "match", inputs):
            targets[shard] = target
    if not targets:
        return None
    return MatchJob(workspace=workspace.url, dataset=dataset, reference=reference, by_shard=targets)


def read_matches(
    workspace: Workspace, dataset: str, reference: str, shard: str
) -> dict[str, Member]:
    """The ground truth of a shard's images by key; images without one are left out."""
    table = read_table(workspace.store, f"{matches_folder(dataset, reference)}/{shard}.parquet")
    return {m.key: m for m in members_of(table, dataset_folder(reference))}


def write_matches(job: MatchJob) -> int:
    """Look the keys of each shard up in the reference's index."""
    workspace = job.opened()
    index = workspace.index(job.reference)
    spans = [span for group in range(index.num_row_groups) if (span := _span(index, group))]
    matched = 0
    for shard, target in job.by_shard.items():
        keys = [member.key for member in workspace.members(job.dataset, shard)]
        table = _lookup(index, spans, keys)
        matched += table.num_rows
        with publishing(workspace, target) as publication:
            pq.write_table(table, publication.file(f"{target.artifact}.parquet"))
            publication.facts |= {"images": len(keys), "matched": table.num_rows}
            # Where a reference lies may change without the reference changing.
            truths = zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True)
            publication.digest = digest_of(list(truths))
    return matched


def require_matches(config: Config, workspace: Workspace) -> None:
    """Check that the reference is the ground truth of anything at all.

    Raises:
        CorpusError: no key is shared.
    """
    if config.reference_name is None:
        return
    names = config.restored_name, config.reference_name
    if not any(read_matches(workspace, *names, shard) for shard in workspace.shards(names[0])):
        ours, theirs = (next(workspace.keys(name), ("nothing", ""))[0] for name in names)
        raise CorpusError(
            "reference must share keys (paths without extension) with the restored images, got "
            f"none in common: {theirs!r} against {ours!r}; rename the files, or leave out "
            "corpora.reference"
        )


def _span(index: pq.ParquetFile, group: int) -> _Span | None:
    """The keys of a row group, if any was accepted.

    Only these are in order: a refused name that is no UTF-8 sorts before it is escaped.
    """
    table = index.read_row_group(group, ["key", "status"])
    keys = table.filter(pc.equal(table["status"], "ok"))["key"]
    return _Span(group, str(keys[0]), str(keys[-1])) if len(keys) else None


def _lookup(index: pq.ParquetFile, spans: list[_Span], keys: list[str]) -> pa.Table:
    """The accepted rows of the index with these keys, which are in order."""
    wanted, parts = set(keys), [index.schema_arrow.empty_table()]
    first = bisect.bisect_left([span.last for span in spans], keys[0]) if keys else len(spans)
    for span in spans[first:]:
        if span.first > keys[-1]:
            break
        rows: list[dict[str, Any]] = index.read_row_group(span.group).to_pylist()
        found = [row for row in rows if row["key"] in wanted and row["status"] == "ok"]
        parts.append(pa.Table.from_pylist(found, index.schema_arrow))
    return pa.concat_tables(parts)
