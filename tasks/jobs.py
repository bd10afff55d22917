"""What a task is told: plain values that fit into a parameter of a Prefect run."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict

from tasks.io.ledger import Publication, Record, Survey, fingerprint
from tasks.io.workspace import Workspace

Line = tuple[str, str, str]
"""A record of the ledger as a plain tuple, which a parameter can hold."""


class Target(BaseModel):
    """An artifact to make, and the records that lose their truth when it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifact: str
    fingerprint: str
    stale: tuple[Line, ...] = ()

    @property
    def withdrawn(self) -> list[Record]:
        """The stale records."""
        return [Record(*record) for record in self.stale]


class Job(BaseModel):
    """One task's work; everything it needs, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: str

    def opened(self) -> Workspace:
        """The workspace."""
        return Workspace(self.workspace)

    def targets(self) -> list[Target]:
        """The artifacts that the job makes."""
        return [value for value in self.__dict__.values() if isinstance(value, Target)]


class Planned(NamedTuple):
    """One unit of a step: its name, how many images it has, and its job unless it is done."""

    unit: str
    images: int
    job: Job | None


class Outcome(BaseModel):
    """What a task reports: how many images went through, and which were refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int
    refused: dict[str, int] = {}


def aim(survey: Survey, artifact: str, step: str, inputs: Mapping[str, Any]) -> Target | None:
    """The target of a step with these inputs, or None if it has been made from them."""
    key = fingerprint(step, inputs)
    if survey.digest(artifact, key) is not None:
        return None
    return Target(artifact=artifact, fingerprint=key, stale=tuple(survey.stale(artifact, key)))


def publishing(workspace: Workspace, target: Target) -> AbstractContextManager[Publication]:
    """Publish an artifact at its target: files first, record last; see ``Ledger``."""
    return workspace.ledger.publishing(target.artifact, target.fingerprint, target.withdrawn)


def generator_of(purpose: str, seed: int, key: str) -> torch.Generator:
    """Randomness that belongs to one image, whichever shard and run it is in."""
    digest = hashlib.sha256(f"{purpose}\0{seed}\0{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def count_reasons(reasons: Sequence[str]) -> dict[str, int]:
    """How often each kind of reason was given; the kind is the text before a colon."""
    kinds = sorted(reason.partition(":")[0] for reason in reasons)
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
