"""What a compaction removes: images that operators of the past made of small shards."""

from collections import Counter

from tasks.compact.compact import require_finished
from tasks.compact.layout import find_layouts
from tasks.config import Config, Run
from tasks.config.registry import served_by
from tasks.fit.operators import fitted
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import Workspace


def what_goes(config: Config) -> list[str]:
    """Return a sentence for each data set of which enhanced images go with its small shards.

    They are of operators, or bear a name of results, that no configuration has now.

    Args:
        config: one that the workspace serves; it says how large a shard is.

    Raises:
        StepMissing: a configuration is not finished.
    """
    workspace = Workspace(config.workspace)
    configs = served_by(workspace.store, config)
    require_finished(configs)
    layouts = find_layouts(configs, workspace, config.shards.images)
    sentences = []
    for dataset, layout in sorted(layouts.items()):
        small = {shard for group in layout.groups for shard in group.merged}
        own = {fitted(Run.of(c)).results for c in configs if c.restored_name == dataset}
        if gone := _images(dataset, small, own, workspace):
            sentences.append(
                f"{gone.total()} enhanced image(s) of {dataset} go with its small shards, as no "
                f"configuration has their operator now: {', '.join(sorted(gone))}; "
                "`dotpipe export` them first if they are wanted"
            )
    return sentences


def _images(dataset: str, small: set[str], own: set[str], workspace: Workspace) -> Counter[str]:
    """Return how many images of these shards results have that are not own, by their names."""
    counts = Counter[str]()
    records = workspace.ledger.survey(f"enhanced/{dataset}").of_shards(small)
    former = [record for record in records if record.artifact.split("/")[2] not in own]
    bodies = side_by_side(workspace.ledger.facts, former)
    for record, body in zip(former, bodies, strict=True):
        counts[record.artifact.split("/")[2]] += body["images"] - sum(body["refused"].values())
    return counts
