"""Recipes: the inputs of a step as a fingerprint, and what is still to be made from them."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tasks.io.errors import StepMissing
from tasks.io.ledger import Survey, fingerprint, summarised
from tasks.jobs.job import Target


class Recipe:
    """A step with the inputs that all its shards share, digested once for all of them."""

    def __init__(self, step: str, shared: Mapping[str, Any]) -> None:
        self._shared = dict(shared)
        self._start = hashlib.sha256(fingerprint(step, self._shared).encode())

    def mark(self, **own: Any) -> str:
        """The fingerprint with a shard's own inputs too."""
        key = self._start.copy()
        key.update(repr(sorted(own.items())).encode("utf-8", "surrogatepass"))
        return key.hexdigest()[:32]

    def aim(self, survey: Survey, artifact: str, **own: Any) -> Target | None:
        """The target with a shard's own inputs too, or None if it has been made from them."""
        mark = self.mark(**own)
        if survey.digest(artifact, mark) is not None:
            return None
        return Target(
            artifact=artifact,
            fingerprint=mark,
            inputs=summarised(self._shared | own),
            replaces=bool(survey.records(artifact)),
        )


def aim(survey: Survey, artifact: str, step: str, inputs: Mapping[str, Any]) -> Target | None:
    """The target of a step with these inputs, or None if it has been made from them."""
    return Recipe(step, inputs).aim(survey, artifact)


def finished_digest(survey: Survey, artifact: str, verb: str = "shard") -> str:
    """The digest of a finished artifact; ``verb`` is the command that makes it.

    Raises:
        StepMissing: it has no record.
    """
    records = survey.records(artifact)
    if not records:
        raise StepMissing(
            f"{artifact} must be finished, but is not; run `dotpipe {verb} CONFIG` first"
        )
    return records[-1].digest
