"""Latents of the images of a fit, kept beside their moments so that nothing is encoded twice."""

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
channels take half of it. Images beyond are encoded again for whatever is measured of them."""


class KeptLatents:
    """Latents (1, c, y, x) of images of one shard, as earlier measurements have kept them."""

    def __init__(self, encoding: str) -> None:
        """Hold none yet; ``encoding`` names all that latents depend on beside the image."""
        self._encoding = encoding
        self._latents: dict[str, Tensor] = {}
        self._digests: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._room = MOST_BYTES

    @classmethod
    def read(
        cls, store: Store, artifacts: Iterable[str], members: Iterable[Member], encoding: str
    ) -> "KeptLatents":
        """Return those of some images that lie beside moments, as far as they were kept.

        Args:
            store: of the workspace.
            artifacts: of moments; what lies beside one may be missing or damaged.
            members: the images, of whose latents no others are held.
            encoding: by which they were made.
        """
        kept, wanted = cls(encoding), {member.key: member.sha256 for member in members}
        for artifact in artifacts:
            if wanted.keys() == kept._latents.keys():
                break
            path = _path(artifact)
            with suppress(OSError, ArtifactDamaged), store.fetched(path) as file:
                latents, facts = load_tensors(file, "latents", path)
                if facts.get("encoding") != encoding:  # earlier versions did not say it
                    continue
                same = {k: d for k, d in facts["images"].items() if wanted.get(k) == d}
                kept._digests |= same
                kept._latents |= {key: latents[key] for key in same}
                kept._places |= dict.fromkeys(same, artifact)
        return kept

    def of(self, member: Member) -> Tensor | None:
        """Return the latents of an image of just these bytes; None if they were not kept."""
        is_it = self._digests.get(member.key) == member.sha256
        return self._latents.get(member.key) if is_it else None

    def place_of(self, member: Member) -> str | None:
        """Return the artifact beside which an image's latents lie; None if they were not kept."""
        return None if self.of(member) is None else self._places.get(member.key)

    def add(self, member: Member, latents: Tensor) -> None:
        """Keep the latents of an image, if there is room."""
        if latents.nbytes <= self._room:
            self._room -= latents.nbytes
            self._latents[member.key], self._digests[member.key] = latents.cpu(), member.sha256

    def write(self, publication: Publication) -> None:
        """Write them beside the moments that are published; nothing where there are none."""
        if self._latents:
            path = publication.file(_path(publication.artifact))
            facts = {"images": self._digests, "encoding": self._encoding}
            save_tensors(self._latents, path, "latents", **facts)


def _path(artifact: str) -> str:
    return f"{artifact}.latents.safetensors"
