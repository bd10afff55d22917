"""The decision which operator a configuration uses, if it does not refit at every change.

A configuration and its moment files go in; the decision for just these comes out, if it has
been made. It is an artifact like others: its record has the fingerprint of what it was made
from, so a plan sees whether it is up to date.
"""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.fit.measurement_plan import measure_name
from tasks.fit.statistics import MomentFiles
from tasks.io.ledger import Survey, fingerprint
from tasks.io.ledger.versions import versions_of_step
from tasks.io.workspace import Workspace, moments_folder, operator_artifact
from tasks.jobs import Recipe


class Decision(BaseModel):
    """The operator that is used, and the comparison that led to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    """Its name."""
    recipe: str
    """Digest of what operators must share to stand for one another; see ``recipe_of``."""
    refit_beyond: float
    compared_with: str | None = None
    """The operator that was in use, or another that is near enough; None if there is none."""
    moved: float | None = None
    """Squared Gelbrich distances of source and target from those it was fitted to, added up."""
    apart: float | None = None
    """Squared Gelbrich distance between the source and target that it was fitted to.

    This is the unit of ``refit_beyond``."""

    @property
    def keeps(self) -> bool:
        """Whether an operator that was there is used, rather than one fitted to the new moments."""
        return self.operator == self.compared_with

    @property
    def share(self) -> float | None:
        """How far the statistics have moved, in the unit of ``refit_beyond``; None if unknown."""
        if self.moved is None or self.apart is None:
            return None
        return self.moved / self.apart if self.apart else (math.inf if self.moved else 0.0)


def decision_artifact(config: Config) -> str:
    """Return the name of the decision's artifact; each configuration has its own."""
    return f"{moments_folder(config.restored_name, 'in-use')}/{config.name}"


def recipe_of(config: Config, files: MomentFiles) -> dict[str, Any]:
    """Return what operators must share to stand for one another, whichever images come and go."""
    return {
        "measure": measure_name(config),
        "datasets": [config.source_name, config.natural_name],
        "pairing": files.pairing,
        "ridge": config.fit.ridge,
        "images": config.fit.images,
        "seed": config.fit.seed,
        **(_levels(config, files) if files.levels else {}),
        **files.shrinking(),
        **files.repeating(),
    }


def _levels(config: Config, files: MomentFiles) -> dict[str, Any]:
    """Return what maps of levels are fitted with beside the images."""
    return {
        "levels": files.levels,
        "level_patch": files.level_patch,
        "fold": config.patches.fold,  # by which the maps below move what they are fitted to
    }


def recipe_digest(config: Config, files: MomentFiles) -> str:
    """Return the digest of the recipe, as decisions and the records of operators hold it.

    Operators that were solved by another version of this software's numbers have another one.
    """
    return fingerprint("reduce", recipe_of(config, files))


def decision_inputs(config: Config, files: MomentFiles) -> dict[str, Any]:
    """Return what a decision is made from, by name."""
    own = files.inputs(config.fit.ridge)
    return {**recipe_of(config, files), **own, "refit_beyond": config.fit.refit_beyond}


def decision_mark(config: Config, files: MomentFiles) -> str:
    """Return the fingerprint of a decision."""
    return Recipe("decide", decision_inputs(config, files)).mark()


def find_decision(run: Run, files: MomentFiles) -> Decision | None:
    """Return the decision for these moments; None if there is none, or its operator is gone.

    An operator can be forgotten, or withdrawn for damage, and the moments that it was fitted to
    may be gone too. Only one that is fitted to just these moments can be solved again, so a
    decision for that one holds even if it is not there.
    """
    artifact = decision_artifact(run.config)
    decisions = survey_beside(artifact, run.workspace)
    if decisions.digest(artifact, decision_mark(run.config, files)) is None:
        return None
    decision = read_decision(run)
    operator = operator_artifact(run.config.restored_name, decision.operator)
    is_there = bool(survey_beside(operator, run.workspace).records(operator))
    can_be_solved = decision.operator == files.operator(run.config.fit.ridge)
    return decision if is_there or can_be_solved else None


def read_decision(run: Run) -> Decision:
    """Return the decision as it was made last, whether it is up to date or not."""
    return Decision.model_validate_json(
        run.workspace.store.read(f"{decision_artifact(run.config)}.json")
    )


def decision_facts(run: Run) -> dict[str, Any]:
    """Return what a report says of the decision; empty if every change means a refit."""
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
    """Return the ledger's records of all artifacts in the folder of this one."""
    return workspace.ledger.survey(artifact.rpartition("/")[0])


class StandIn(BaseModel):
    """An operator that is used in place of one that would be fitted to the same images again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    """Name of the one that is used."""
    given: dict[str, Any] = {}
    """What its maps were fitted with that is not in its name; see ``given_maps``."""


def given_maps(config: Config) -> dict[str, Any]:
    """Return what maps of levels, and of further rounds, are fitted with beside what names them.

    Returns:
        options by name, and the versions of the numbers of each step by its name.
    """
    steps = ("measure level", "reduce level", "measure again", "reduce")
    versions = {step: versions_of_step(step) for step in steps}
    return {"fold": config.patches.fold, "seed": config.enhance.seed, **versions}


def stand_in_artifact(dataset: str, operator: str) -> str:
    """Return the name of the artifact that says what is used in place of an operator.

    Args:
        dataset: name of the data set that is enhanced.
        operator: name of the one that is not fitted.
    """
    return f"{moments_folder(dataset, 'stand-ins')}/{operator}"


def find_stand_in(run: Run, operator: str) -> str | None:
    """Return the name of the operator that is used in place of another.

    Where shards were merged, moments of the same images lie in other files: the operator that was
    fitted to them before stays, under the name that it has.

    Returns:
        None if there is none, if its maps were fitted with other options or by another version of
        their numbers, or if it is gone, as after it was forgotten.
    """
    artifact, workspace = stand_in_artifact(run.config.restored_name, operator), run.workspace
    folder, _, name = artifact.rpartition("/")
    if not workspace.ledger.survey(folder, name).records(artifact):
        return None
    said = StandIn.model_validate_json(workspace.store.read(f"{artifact}.json"))
    now = given_maps(run.config)
    if any(now.get(each) != value for each, value in said.given.items()):
        return None
    known = operator_artifact(run.config.restored_name, said.operator)
    return said.operator if survey_beside(known, workspace).records(known) else None
