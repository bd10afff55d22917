"""Former operators: a configuration goes in; those that it used before come out, or are let go.

A new image can mean a new operator, and with it a whole enhanced data set, its metrics and its
report beside those before. Only operators that were fitted as the configuration's own is now, to
other images, count as former ones: what was made with other options stays until ``dotpipe gc``.
"""

from collections.abc import Collection, Iterable
from itertools import chain
from typing import NamedTuple

from tasks.config import Config, Run
from tasks.config.registry import registered
from tasks.fit.operators import find_operator
from tasks.io.errors import DotpipeError
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import (
    OF_RESULTS,
    Workspace,
    alone,
    operator_artifact,
    operator_of,
    reports_folder,
    results_folders,
    results_name,
)
from tasks.upkeep.cleaning.needs import Needs, operators_in_use
from tasks.upkeep.cleaning.removal import by_folder, remove_files, sizes_of, total_of


class LetGo(NamedTuple):
    """What was removed of former operators."""

    operators: list[str]
    """Their names."""
    folders: dict[str, tuple[int, int]]
    """How many files of how many bytes were removed from each folder."""


def tidy_up(config: Config, keep: int | None = None, beside: Collection[str] = ()) -> str:
    """Let go of what the configuration's ``keep`` does not hold; return a sentence on it.

    A run that has ended well does not fail for this: the sentence says what hindered it, and the
    next one, or ``dotpipe gc``, does it.

    Args:
        config: which has been run to its end.
        keep: how many former operators keep their results where the configuration does not say;
            None for all.
        beside: names of the claims of the run that does this.

    Returns:
        the sentence; empty if there was nothing to let go.
    """
    count = keep if config.keep is None else config.keep
    if count is None:
        return ""
    try:
        gone = let_former_go(config, count, beside)
    except (DotpipeError, OSError) as error:
        return f"results of former operators stay until the next run, or `dotpipe gc`: {error}"
    if not gone.operators:
        return ""
    told = f"the results of {len(gone.operators)} former operator(s), {total_of(gone.folders)}"
    return f"removed {told}, as keep is {count}"


def kept_former(config: Config, served: Iterable[Config], keep: int) -> Needs:
    """Return what stays in a workspace as results of former operators.

    Args:
        config: whose former operators these are; how many stay is said by its ``keep``.
        served: all configurations that the workspace serves.
        keep: how many stay where the configuration does not say.
    """
    count = keep if config.keep is None else config.keep
    try:
        operators = former_operators(Run.of(config), served)[:count] if count else []
    except DotpipeError:  # then all operators of its data set stay, of which this is to choose
        operators = []
    own = config.restored_name
    artifacts = {operator_artifact(own, operator) for operator in operators}
    results = (results_name(operator, config.enhance.name) for operator in operators)
    folders = {folder for each in results for folder in results_folders(own, each)}
    return Needs(frozenset(artifacts), frozenset(folders))


def former_operators(run: Run, served: Iterable[Config]) -> list[str]:
    """Return the operators that a run's configuration used before, the last used ones first.

    Args:
        run: whose operator has been fitted.
        served: all configurations that the workspace serves; what one of them uses is not former.

    Raises:
        StepMissing: the operator has not been fitted.
        DotpipeError: it cannot be known which operators another configuration uses.
    """
    ledger, dataset = run.workspace.ledger, run.config.restored_name
    own = find_operator(run).name
    sharing = (Run.of(each) for each in served if each.restored_name == dataset)
    in_use = {own}.union(*map(operators_in_use, sharing))
    records = list(ledger.survey(f"operators/{dataset}").all())
    facts = dict(zip(records, side_by_side(ledger.facts, records), strict=True))
    recipes = {record.artifact.rpartition("/")[2]: known for record, known in facts.items()}
    recipe = recipes[own].get("recipe")
    former = [
        (_last_used(name, known["finished"], run), name)
        for name, known in recipes.items()
        if recipe is not None and name not in in_use and known.get("recipe") == recipe
    ]
    return [name for _, name in sorted(former, reverse=True)]


def let_former_go(config: Config, keep: int, beside: Collection[str] = ()) -> LetGo:
    """Remove the results of all former operators but the last used ones; safe to repeat.

    Args:
        config: which has been run to its end.
        keep: how many former operators keep their results.
        beside: names of the claims of the run that does this.

    Raises:
        WorkspaceBusy: another run is at work on the workspace.
        DotpipeError: it cannot be known which operators another configuration uses.
    """
    workspace = Workspace(config.workspace)
    if not _gone(config, keep, workspace):
        return LetGo([], {})
    sizes = dict[str, int]()
    with alone(workspace, beside):
        operators = _gone(config, keep, workspace)
        for operator in operators:
            sizes |= _remove(operator, config.restored_name, workspace)
        workspace.store.prune()
    return LetGo(operators, by_folder(sizes))


def _gone(config: Config, keep: int, workspace: Workspace) -> list[str]:
    # One of the same name counts too: it may have been run otherwise since this run began.
    others = [each for each in registered(workspace.store) if each != config]
    return former_operators(Run(config, workspace), others)[keep:]


def _last_used(operator: str, solved: str, run: Run) -> str:
    """Return when the last report on an operator was written, or else when it was solved."""
    results = results_name(operator, run.config.enhance.name)
    report = f"{reports_folder(run.config.restored_name, results)}/report"
    ledger = run.workspace.ledger
    written = [str(ledger.facts(record)["finished"]) for record in ledger.records(report)]
    return max([solved, *written])


def _remove(operator: str, dataset: str, workspace: Workspace) -> dict[str, int]:
    """Remove an operator and all that was made with it; return sizes in bytes by path.

    Its own record goes last: as long as it is there, the next run finds what a kill has left.
    """
    ledger, store = workspace.ledger, workspace.store
    folders, own = _folders_of(operator, dataset, workspace), operator_artifact(dataset, operator)
    records = [record for folder in folders for record in ledger.survey(folder).all()]
    unfinished = ledger.survey(f"operators/{dataset}", f"{operator}-").all()
    last, sizes = [*unfinished, *ledger.records(own)], dict[str, int]()
    for body in side_by_side(ledger.facts, [*records, *last]):
        sizes |= {path: facts["size"] for path, facts in body["files"].items()}
    ledger.retire(records)
    strays = [path for folder in folders for path in store.names(folder)]
    sizes |= sizes_of(strays, store)
    notes = [path for each in (*folders, own) for path in ledger.failures(each).values()]
    remove_files([*strays, *notes], store)
    ledger.retire(last)
    return sizes


def _folders_of(operator: str, dataset: str, workspace: Workspace) -> list[str]:
    """Return the folders of all results of an operator, as far as there is something of them."""
    ledger, store, names = workspace.ledger, workspace.store, {operator}
    for kind in OF_RESULTS:
        there = f"{kind}/{dataset}"
        paths = ledger.survey(there, operator).artifacts(), store.names(there, operator)
        names |= {path.split("/")[2] for path in chain(*paths)}
    own = (name for name in sorted(names) if operator_of(name) == operator)
    return [folder for name in own for folder in results_folders(dataset, name)]
