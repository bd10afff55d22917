"""Operators of small shards stay: what is said for that, once their moments lie in other files.

A configuration and the images of its fit, by the shards that they are to be in, go in; a note in
the workspace comes out that names the operator which is used in place of one fitted anew.
"""

from collections.abc import Iterable
from typing import Any

from tasks.config import Run
from tasks.fit.decision import StandIn, find_stand_in, given_maps, stand_in_artifact
from tasks.fit.operators import find_operator
from tasks.fit.select import Selection, chosen_images
from tasks.fit.statistics import MomentFiles
from tasks.jobs import Recipe, publishing


def keep_operator(run: Run, selections: Iterable[Selection]) -> None:
    """Say that the operator stays which was fitted to just the moments of the small shards.

    A configuration that keeps one which was fitted to others, as ``fit.refit_beyond`` has it, says
    nothing: its decision stays.

    Args:
        run: the configuration and its workspace, whose indexes name the small shards.
        selections: the images of the fit, by the shards that they are to be in.

    Raises:
        StepMissing: the operator is not fitted.
    """
    files, ridge = MomentFiles.of(run, chosen_images(run)), run.config.fit.ridge
    fitted = files.operator(ridge)
    known = find_stand_in(run, fitted) or fitted
    operator = find_operator(run)
    if operator.name != known:
        return
    said = StandIn(operator=known, given=_given(run, files, is_noisy=operator.is_stochastic))
    for selection in selections:
        own = MomentFiles.of(run, selection).operator(ridge)
        if own != known:
            _stand_in(said, own, run)


def _given(run: Run, files: MomentFiles, *, is_noisy: bool) -> dict[str, Any]:
    """Return what an operator's maps were fitted with that its name does not say."""
    levels = ("fold", "measure level", "reduce level") if files.levels else ()
    rounds = ("measure again", "reduce") if files.further else ()
    noise = ("seed",) if is_noisy and (levels or rounds) else ()
    given = given_maps(run.config)
    return {name: given[name] for name in (*levels, *rounds, *noise)}


def _stand_in(said: StandIn, own: str, run: Run) -> None:
    """Say that an operator is used in place of another."""
    artifact = stand_in_artifact(run.config.restored_name, own)
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0], own)
    target = Recipe("stand in", said.model_dump()).aim(survey, artifact)
    if target is not None:
        with publishing(run.workspace, target) as publication:
            publication.file(f"{artifact}.json").write_text(said.model_dump_json(indent=1), "utf-8")
