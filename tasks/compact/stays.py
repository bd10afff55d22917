"""Small shards that no compaction merges, and why: in sentences."""

from collections.abc import Iterator, Mapping

from tasks.compact.layout import holds_odd_name, small_shards, trained_on
from tasks.config import Config
from tasks.config.registry import served_by
from tasks.io.catalogue import Catalogue
from tasks.io.workspace import Workspace


def why_shards_stay(config: Config) -> list[str]:
    """Return a sentence for each kind of small shards that stay, data set by data set.

    What is made of a data set by restoring has its shards, so only given ones are named.

    Args:
        config: one that the workspace serves; it says how large a shard is.

    Raises:
        StepMissing: a data set has not been sharded.
    """
    workspace = Workspace(config.workspace)
    configs = served_by(workspace.store, config)
    datasets = dict.fromkeys(name for each in configs for name in each.given_datasets())
    trained = trained_on(configs)
    return [
        sentence
        for dataset in sorted(datasets)
        for sentence in _of(dataset, workspace.catalogue(dataset), config.shards.images, trained)
    ]


def _of(dataset: str, catalogue: Catalogue, size: int, trained: Mapping[str, str]) -> Iterator[str]:
    """Yield the sentences on one data set; none where it has fewer than two small shards."""
    small = small_shards(catalogue, size)
    if len(small) < 2:
        return
    odd = holds_odd_name(catalogue)
    if dataset in trained:
        yield (
            f"{dataset} keeps {len(small)} small shard(s): the restorer of {trained[dataset]!r} is "
            "trained on them, by the numbers of their images"
        )
        return
    if tars := sum(entry.tar is not None for entry in small):
        yield (
            f"{dataset} keeps {tars} small shard(s): each stands for a foreign tar, or a part of "
            "one"
        )
    if named := sum(entry.shard in odd for entry in small):
        yield f"{dataset} keeps {named} small shard(s): a file in each has a name that was refused"
