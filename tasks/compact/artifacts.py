"""Artifacts of several shards made into the one of the merged shard, under its fingerprint.

What is to be made goes in, as the pipeline's own plan says it, with the names of the small shards.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tasks.compact.facts import added_up
from tasks.compact.images import images_of
from tasks.compact.tables import (
    merge_class_sums,
    merge_features,
    merge_latent_sums,
    merge_latents,
    merge_moments,
    merge_rows,
)
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger import Publication, digest_of
from tasks.io.ledger.publication import is_there
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import SHARD_ENDINGS, write_shard
from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tasks.jobs import Target, publishing


class Merge(NamedTuple):
    """An artifact that is to be made of those of the small shards."""

    target: Target
    sources: tuple[str, ...]
    """The artifacts of the small shards, in order."""
    facts: Mapping[str, Any] = {}
    """Facts of its record that are not those of the small shards'."""
    keys: tuple[str, ...] = ()
    """Of moments: keys of the images, in order."""


Bodies = Sequence[Mapping[str, Any]]
"""Bodies of the records of small shards, in the order of these."""

Maker = Callable[[Merge, Bodies, Workspace, Publication], None]


def carry_out_merge(merge: Merge, workspace: Workspace) -> None:
    """Make one artifact of several, and publish it; the several stay as they are.

    Raises:
        StepMissing: one of them is not finished.
        ArtifactDamaged: one is not whole.
    """
    bodies = [_body(source, workspace) for source in merge.sources]
    for body in bodies:
        require_whole(body["files"], workspace.store)
    with publishing(workspace, merge.target) as publication:
        _maker_of(merge, bodies)(merge, bodies, workspace, publication)
        publication.facts |= {**added_up(bodies), **merge.facts}


def _maker_of(merge: Merge, bodies: Bodies) -> Maker:
    """Return what makes an artifact of its kind, as its folder says."""
    kind, _, below, *_ = merge.target.artifact.split("/")
    if kind == "datasets" and below == "matches":
        return _merge_matches
    if kind in ("datasets", "enhanced"):
        has_tars = f"{merge.sources[0]}.tar" in bodies[0]["files"]
        return _merge_tars if has_tars else _adopt_images
    return _merge_moments if kind == "moments" else _merge_tables


def require_whole(files: Mapping[str, Mapping[str, Any]], store: Store) -> None:
    """Check that files are as they were written, or copies of them would count as such.

    Args:
        files: what a record says of each, by path.
        store: of the workspace.

    Raises:
        ArtifactDamaged: one is not.
    """
    is_whole = side_by_side(lambda path: is_there(store, path, files[path]), files)
    damaged = [path for path, whole in zip(files, is_whole, strict=True) if not whole]
    if damaged:
        raise ArtifactDamaged(
            f"{damaged[0]} must be as it was written before it is merged, but has other bytes, or "
            "is gone; `dotpipe verify CONFIG` says what is damaged, and `dotpipe repair CONFIG` "
            "makes it again"
        )


def _body(artifact: str, workspace: Workspace) -> dict[str, Any]:
    """Return the body of the only record of an artifact.

    Raises:
        StepMissing: it has none, or several.
    """
    records = workspace.ledger.records(artifact)
    if len(records) != 1:
        raise StepMissing(
            f"{artifact} must be finished before shards are merged, got {len(records)} records of "
            "it; run `dotpipe run CONFIG` first"
        )
    return workspace.ledger.facts(records[0])


def _merge_tars(
    merge: Merge, _bodies: Bodies, workspace: Workspace, publication: Publication
) -> None:
    """Write the images of several tars into one, byte by byte, with its indexes."""
    artifact = merge.target.artifact
    _, content = write_shard(
        artifact.rpartition("/")[2],
        images_of(merge.sources, workspace.store),
        *(publication.file(f"{artifact}.{ending}") for ending in SHARD_ENDINGS),
    )
    if artifact.startswith("datasets/"):  # enhanced ones bear the digest of their files
        publication.digest = content


def _adopt_images(
    merge: Merge, bodies: Bodies, workspace: Workspace, publication: Publication
) -> None:
    """Write one index over images that are files of their own, which stay where they are."""
    artifact = merge.target.artifact
    indexes = [f"{source}.parquet" for source in merge.sources]
    own = {"shard": artifact.rpartition("/")[2]}
    merge_rows(workspace.store, indexes, publication.file(f"{artifact}.parquet"), own)
    for body in bodies:
        publication.adopted |= {p: f for p, f in body["files"].items() if p not in indexes}


def _merge_matches(
    merge: Merge, _bodies: Bodies, workspace: Workspace, publication: Publication
) -> None:
    """Write where the ground truth of all images lies, with the digest that a matching gives."""
    paths = (f"{source}.parquet" for source in merge.sources)
    path = publication.file(f"{merge.target.artifact}.parquet")
    table = merge_rows(workspace.store, paths, path)
    truths = zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    publication.digest = digest_of(list(truths))


def _merge_moments(
    merge: Merge, bodies: Bodies, workspace: Workspace, publication: Publication
) -> None:
    """Write moments, and latents that were kept beside them."""
    store, artifact = workspace.store, merge.target.artifact
    paths = [f"{source}.safetensors" for source in merge.sources]
    path = publication.file(f"{artifact}.safetensors")
    publication.digest = merge_moments(store, paths, merge.keys, path)
    kept = [p for body in bodies for p in body["files"] if p.endswith(".latents.safetensors")]
    if kept:
        with ExitStack() as stack:
            scratch = stack.enter_context(store.scratch())
            if merge_latents(store, kept, scratch):
                target = publication.file(f"{artifact}.latents.safetensors")
                target.write_bytes(scratch.read_bytes())


def _merge_tables(
    merge: Merge, bodies: Bodies, workspace: Workspace, publication: Publication
) -> None:
    """Write a metric table with what lies beside it, or a table of features."""
    store, artifact = workspace.store, merge.target.artifact
    for path, paths in _alike(merge, bodies).items():
        file = publication.file(path)
        if path == f"{artifact}.parquet" and path.startswith("metrics/"):
            own = {"shard": artifact.rpartition("/")[2], "fingerprint": merge.target.fingerprint}
            merge_rows(store, paths, file, own)
        elif path.endswith(".classes.safetensors"):
            merge_class_sums(store, paths, file)
        elif path.endswith(".safetensors"):
            merge_latent_sums(store, paths, file)
        else:
            merge_features(store, paths, file)


def _alike(merge: Merge, bodies: Bodies) -> dict[str, list[str]]:
    """Return which files become one, by the path of that one, in the order of shards."""
    shard, found = merge.target.artifact.rpartition("/")[2], dict[str, list[str]]()
    for source, body in zip(merge.sources, bodies, strict=True):
        small = source.rpartition("/")[2]
        for path in body["files"]:
            folder, _, name = path.rpartition("/")
            found.setdefault(f"{folder}/{shard}{name.removeprefix(small)}", []).append(path)
    return found
