"""Images that were restored before, for a fit on other images: copied, not restored again."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tasks.io.errors import ArtifactDamaged, ShardDamaged
from tasks.io.shards import Accepted, Member, members_of, read_members, read_sides
from tasks.io.shards.sides import NONE
from tasks.io.store import Store
from tasks.io.workspace import Workspace, dataset_folder


@dataclass(frozen=True, slots=True)
class RestoredBefore:
    """Where restored images of one recipe lie already."""

    members: Mapping[str, Member]
    """By their keys."""
    extensions: Mapping[str, str]
    """Endings of their names, by their keys."""

    @classmethod
    def of(cls, workspace: Workspace, artifacts: Iterable[str], recipe: str) -> "RestoredBefore":
        """Return those of some shards; none of a shard that is gone, or not whole.

        Args:
            workspace: where.
            artifacts: the shards, of whatever recipes.
            recipe: of the images that are wanted, as the records of shards have it.
        """
        members, extensions = dict[str, Member](), dict[str, str]()
        for artifact in artifacts:
            _, dataset, shard = artifact.split("/")
            with suppress(OSError, ArtifactDamaged):
                records = workspace.ledger.records(artifact)
                if [workspace.ledger.facts(each).get("recipe") for each in records] != [recipe]:
                    continue
                index = workspace.shard_index(dataset, shard)
                members |= {each.key: each for each in members_of(index, dataset_folder(dataset))}
                extensions |= {
                    row["key"]: row["member"].rpartition(".")[2]
                    for row in index.select(["key", "member"]).to_pylist()
                    if row["member"]
                }
        return cls(members, extensions)

    def copies(self, store: Store, wanted: Sequence[Member]) -> dict[str, Accepted]:
        """Return those of images that lie somewhere, by key; none where one of them is damaged.

        Args:
            store: of the workspace.
            wanted: images that they are restored from.
        """
        known = [self.members[each.key] for each in wanted if each.key in self.members]
        with suppress(OSError, ShardDamaged):
            sides = read_sides(store, known)
            return {
                member.key: Accepted(
                    key=member.key,
                    source=member.key,
                    data=data,
                    sha256=member.sha256,
                    extension=self.extensions[member.key],
                    width=member.width,
                    height=member.height,
                    sides=sides.get(member.key, NONE),
                )
                for member, data in read_members(store, known)
            }
        return {}
