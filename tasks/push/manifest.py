"""What pushes have put into a repository: a small file of it, ``.dotpipe/push.json``.

A file of the repository that it does not name was put there by somebody else, and is neither
replaced nor removed. It changes in the same commit as the files, so it is always right.
"""

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.io.errors import ConfigurationError

MANIFEST = ".dotpipe/push.json"
"""Its path in the repository."""


class PushedFile(BaseModel):
    """A file that a push has put into the repository."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    blob: str | None = None
    """What Git calls it, if it is a small one, which the Hub keeps in Git: of those, the Hub
    tells no other digest."""


class PushedArtifact(BaseModel):
    """An artifact of the workspace, by the digest of what it is, with its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    files: Mapping[str, PushedFile]


class Pushed(BaseModel):
    """All that pushes have put there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    """Tells the workspace and data set, without naming them."""
    configs: tuple[str, ...] = ()
    """Parts of the card's ``configs`` that are ours."""
    artifacts: Mapping[str, PushedArtifact] = {}
    """By the artifact's name, without the data set's and the operator's."""

    def files(self) -> dict[str, PushedFile]:
        """Return all files by their paths."""
        found: dict[str, PushedFile] = {}
        for artifact in self.artifacts.values():
            found |= artifact.files
        return found

    def with_blobs(self, blobs: Mapping[str, str]) -> "Pushed":
        """Return the same, with what Git calls some of the files, by their paths."""
        artifacts = {
            name: each.model_copy(
                update={
                    "files": {
                        path: file.model_copy(update={"blob": blobs.get(path, file.blob)})
                        for path, file in each.files.items()
                    }
                }
            )
            for name, each in self.artifacts.items()
        }
        return self.model_copy(update={"artifacts": artifacts})

    def text(self) -> bytes:
        """Return what is written: the same bytes for the same content."""
        body = self.model_dump(mode="json")
        return (json.dumps(body, indent=0, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, text: bytes, address: str) -> "Pushed":
        """Return what was written.

        Raises:
            ConfigurationError: it is not as a push has written it.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigurationError(
                f"{MANIFEST} in {address} must be as a push has written it, but is not; restore it "
                "there from an earlier commit, or remove it with all folders that pushes made"
            ) from error
