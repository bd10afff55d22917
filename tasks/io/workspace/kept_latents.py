"""Latents of the images of a fit, kept beside their moments so that levels need no encoder."""

from collections.abc import Iterable
from contextlib import suppress

from torch import Tensor

from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.errors import ArtifactDamaged
from tasks.io.ledger import Publication
from tasks.io.shards import Member
from tasks.io.store import Store

MOST_BYTES = 128 << 20
"""Bytes of latents that are kept of a shard: those of 1000 images of 256 × 256 pixels with 16
channels take half of it. Images beyond are encoded again for each level."""


class KeptLatents:
    """Latents (1, c, y, x) of images of one shard, as an earlier measurement has kept them."""

    def __init__(self) -> None:
        self._latents: dict[str, Tensor] = {}
        self._digests: dict[str, str] = {}
        self._room = MOST_BYTES

    @classmethod
    def read(
        cls, store: Store, artifacts: Iterable[str], members: Iterable[Member]
    ) -> "KeptLatents":
        """Return those of some images that lie beside moments, as far as they were kept.

        Args:
            store: of the workspace.
            artifacts: of moments; what lies beside one may be missing or damaged.
            members: the images, of whose latents no others are held.
        """
        kept, wanted = cls(), {member.key: member.sha256 for member in members}
        for path in map(_path, artifacts):
            if wanted.keys() == kept._latents.keys():
                break
            with suppress(OSError, ArtifactDamaged), store.fetched(path) as file:
                latents, facts = load_tensors(file, "latents", path)
                same = {k: d for k, d in facts["images"].items() if wanted.get(k) == d}
                kept._digests |= same
                kept._latents |= {key: latents[key] for key in same}
        return kept

    def of(self, member: Member) -> Tensor | None:
        """Return the latents of an image of just these bytes; None if they were not kept."""
        is_it = self._digests.get(member.key) == member.sha256
        return self._latents.get(member.key) if is_it else None

    def add(self, member: Member, latents: Tensor) -> None:
        """Keep the latents of an image, if there is room."""
        if latents.nbytes <= self._room:
            self._room -= latents.nbytes
            self._latents[member.key], self._digests[member.key] = latents.cpu(), member.sha256

    def write(self, publication: Publication) -> None:
        """Write them beside the moments that are published; nothing where there are none."""
        if self._latents:
            path = publication.file(_path(publication.artifact))
            save_tensors(self._latents, path, "latents", images=self._digests)


def _path(artifact: str) -> str:
    return f"{artifact}.latents.safetensors"
