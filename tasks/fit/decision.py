"""Which operator a configuration uses, where it does not refit at every change.

The decision is an artifact like others: it has a record under a fingerprint of what it was
made from, so a plan sees whether it is the one for the statistics of now. It names an
operator, and whoever asks for the operator is told that one.
"""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.fit.measure import measure_name
from tasks.fit.statistics import Sides
from tasks.io.ledger import Survey, digest_of
from tasks.io.workspace import Workspace, moments_folder, operator_artifact
from tasks.jobs import Recipe


class Decision(BaseModel):
    """The operator that is used, and what that rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    recipe: str
    """A digest of what operators must share to stand for one another."""
    refit_beyond: float
    compared_with: str | None = None
    """The operator that was in use, or another that is near enough; None without any."""
    moved: float | None = None
    """Squared Gelbrich distance of the statistics, both sides', from those it was fitted on."""
    apart: float | None = None
    """Squared Gelbrich distance between its own two sides, the unit of ``refit_beyond``."""

    @property
    def keeps(self) -> bool:
        """Whether the operator is one from before, rather than of these statistics."""
        return self.operator == self.compared_with

    @property
    def share(self) -> float | None:
        """How far the statistics have moved, in the unit of ``refit_beyond``."""
        if self.moved is None or self.apart is None:
            return None
        return self.moved / self.apart if self.apart else (math.inf if self.moved else 0.0)


def decision_artifact(config: Config) -> str:
    """The decision's name; configurations of other names have their own."""
    return f"{moments_folder(config.restored_name, 'in-use')}/{config.name}"


def recipe_of(config: Config, sides: Sides) -> dict[str, Any]:
    """What operators must share to stand for one another, whichever images come and go."""
    return {
        "measure": measure_name(config),
        "datasets": [config.source_name, config.natural_name],
        "pairing": sides.pairing,
        "ridge": config.fit.ridge,
        "images": config.fit.images,
        "seed": config.fit.seed,
    }


def recipe_digest(config: Config, sides: Sides) -> str:
    """The recipe, as decisions and the records of operators have it."""
    return digest_of(recipe_of(config, sides))


def decision_inputs(config: Config, sides: Sides) -> dict[str, Any]:
    """What a decision is made from."""
    fitted = sides.inputs(config.fit.ridge)
    return {**recipe_of(config, sides), **fitted, "refit_beyond": config.fit.refit_beyond}


def decision_mark(config: Config, sides: Sides) -> str:
    """The fingerprint of a decision."""
    return Recipe("decide", decision_inputs(config, sides)).mark()


def find_decision(run: Run, sides: Sides) -> Decision | None:
    """The decision for these statistics; None without one, or where its operator is gone.

    An operator can be forgotten, or withdrawn for damage, and its moments may be gone too;
    only that of just these statistics can be solved again.
    """
    artifact = decision_artifact(run.config)
    if (
        survey_beside(artifact, run.workspace).digest(artifact, decision_mark(run.config, sides))
        is None
    ):
        return None
    decision = read_decision(run)
    operator = operator_artifact(run.config.restored_name, decision.operator)
    is_there = bool(survey_beside(operator, run.workspace).records(operator))
    return (
        decision if is_there or decision.operator == sides.operator(run.config.fit.ridge) else None
    )


def read_decision(run: Run) -> Decision:
    """The decision as it was made last."""
    return Decision.model_validate_json(
        run.workspace.store.read(f"{decision_artifact(run.config)}.json")
    )


def decision_facts(run: Run) -> dict[str, Any]:
    """What a report says of the decision; nothing where every change means a refit."""
    if run.config.fit.refit_beyond is None:
        return {}
    decision = read_decision(run)
    return {
        "kept": decision.keeps,
        "compared_with": decision.compared_with,
        "statistics_moved": decision.share,
        "refit_beyond": decision.refit_beyond,
    }


def survey_beside(artifact: str, workspace: Workspace) -> Survey:
    """The records of an artifact's folder."""
    return workspace.ledger.survey(artifact.rpartition("/")[0])
