"""Recipes: the inputs of an artifact go in; its fingerprint, or what is to be made, comes out."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tasks.io.errors import StepMissing
from tasks.io.ledger import Survey, fingerprint, summarised
from tasks.jobs.job import Target


class Recipe:
    """What the artifacts of a step are made from: the inputs that all of them share.

    These are digested once; each artifact's own inputs are then added to a copy.
    """

    def __init__(self, step: str, shared: Mapping[str, Any]) -> None:
        self._step, self._shared = step, dict(shared)
        self._start = hashlib.sha256(fingerprint(step, self._shared).encode())

    def mark(self, **own: Any) -> str:
        """Return the fingerprint of the shared inputs and an artifact's own, 32 hex digits."""
        key = self._start.copy()
        key.update(repr(sorted(own.items())).encode("utf-8", "surrogatepass"))
        return key.hexdigest()[:32]

    def aim(self, survey: Survey, artifact: str, **own: Any) -> Target | None:
        """Return the target of an artifact; None if it has been made from just these inputs.

        Args:
            survey: of the records of the artifact's folder.
            artifact: its name.
            own: its own inputs, beside those that all share.
        """
        if survey.digest(artifact, self.mark(**own)) is not None:
            return None
        return self.aim_again(survey, artifact, **own)

    def aim_again(self, survey: Survey, artifact: str, **own: Any) -> Target:
        """Return the target of an artifact, also where it has been made from just these inputs.

        Args:
            survey: of the records of the artifact's folder.
            artifact: its name.
            own: its own inputs, beside those that all share.
        """
        mark = self.mark(**own)
        return Target(
            artifact=artifact,
            fingerprint=mark,
            inputs=summarised(self._shared | own, self._step),
            replaces=bool(survey.records(artifact)),
            again=survey.digest(artifact, mark),
        )


def aim(survey: Survey, artifact: str, step: str, inputs: Mapping[str, Any]) -> Target | None:
    """Return the target of one artifact; None if it has been made from just these inputs.

    Args:
        survey: of the records of the artifact's folder.
        artifact: its name.
        step: that makes it; part of the fingerprint.
        inputs: all that it is made from, by name.
    """
    return Recipe(step, inputs).aim(survey, artifact)


def finished_digest(survey: Survey, artifact: str, verb: str = "shard") -> str:
    """Return the digest of a finished artifact; ``verb`` is the command that makes it.

    Raises:
        StepMissing: it has no record.
    """
    records = survey.records(artifact)
    if not records:
        raise StepMissing(
            f"{artifact} must be finished, but is not; run `dotpipe {verb} CONFIG` first"
        )
    return records[-1].digest
